"""A whole study of a few steps: fair trials, chosen weights, runs, answer; resumable, and safe with several workers."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest
import yaml

from tests.conftest import PROJECT
from tests.training.conftest import scans, tiny_params  # noqa: F401  # the fixture
from topokd import schema
from topokd.errors import ParameterError
from topokd.evaluation import ConfusionMatrix
from topokd.experiments.study import runner
from topokd.experiments.study.answer import compare, power_table
from topokd.experiments.study.bootstrap import miou
from topokd.experiments.study.plan import StudyPlan, TunedRow, Unit, needs, read_plan, units, weighted
from topokd.experiments.study.runner import Study, street_counts
from topokd.io import read_json
from topokd.params import Params, load_profile
from topokd.scans import open_dataset
from topokd.training import Run


@pytest.fixture
def params(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:  # noqa: F811
    params = tiny_params(scans)
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    short = params.train.replace(teacher_steps=2, student_steps=2)
    return params.replace(profile="small", seeds=(0, 1), teacher_seeds=(0,), train_rows=("plain", "kd"), train=short)


PLAN = StudyPlan(
    rows={"plain": TunedRow(), "kd": TunedRow(factor_of=("kd",)), "kd_topo": TunedRow(factor_of=("topo",), start="kd")},
    factors=(0.1, 1.0),
    learning_rate_factors=(0.5, 1.0),
    comparisons=(("kd", "plain"),),
    draws=20,
    tuning={"student_steps": 2},
)


def without_topology() -> StudyPlan:
    return PLAN.replace(rows={name: PLAN.rows[name] for name in ("plain", "kd")})


def test_every_row_gets_the_same_number_of_trials_and_waits_for_its_starting_row(params: Params) -> None:
    every = units(PLAN, params)
    assert [sum(u.kind == "trial" and u.row == row for u in every) for row in PLAN.rows] == [2, 2, 2]
    waits = [u.name for u in needs(Unit("trial", "kd_topo", 1), PLAN, params)]
    assert waits == ["teacher-teacher-0", "trial-kd-0", "trial-kd-1"]
    assert {u.row for u in needs(Unit("run", "kd_topo", 1), PLAN, params) if u.kind == "trial"} == {"kd", "kd_topo"}
    for position, unit in enumerate(every):
        assert set(needs(unit, PLAN, params)) <= set(every[:position])


def test_a_cross_validation_that_stops_early_has_whole_seeds(params: Params) -> None:
    plan = StudyPlan(rows={"plain": TunedRow(), "kd": TunedRow()}, held_out=(3, 5, 7))
    every = units(plan, params)
    assert [(u.kind, u.fold) for u in every[:3]] == [("teacher", 3), ("teacher", 5), ("teacher", 7)]
    assert [(u.number, u.fold, u.row) for u in every[3:10]] == [
        (0, 3, "plain"), (0, 3, "kd"), (0, 5, "plain"), (0, 5, "kd"), (0, 7, "plain"), (0, 7, "kd"), (1, 3, "plain"),
    ]  # fmt: skip
    assert needs(every[-1], plan, params) == [every[2]]


def test_weights_are_the_chosen_ones_times_the_factor(params: Params) -> None:
    chosen = {"terms": {"kd": params.terms["kd"] | {"weight": 7.0}}}
    terms = weighted(params, PLAN, "kd_topo", 0.1, chosen).rows["kd_topo"].terms
    assert terms["kd"]["weight"] == 7.0
    assert terms["topo"]["weight"] == pytest.approx(0.1 * params.rows["kd_topo"].terms["topo"]["weight"])
    slow = weighted(params, PLAN, "plain", 0.5, None)
    assert slow.train.student_lr_factor == 0.5 * params.train.student_lr_factor


def test_counts_are_true_positives_predictions_and_truth(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two classes: 3 of 4 points of the first are found, 1 is missed; the one of the second is taken for the first."""
    matrix = ConfusionMatrix(2)
    matrix.matrix[:] = [[3, 1], [0, 0]]
    matrix.missed[:] = [1, 0]
    monkeypatch.setattr(runner, "load_checkpoint", lambda file: None)
    monkeypatch.setattr(runner, "evaluate", lambda *given, **named: matrix)
    dataset = open_dataset(params.data, params.data_root, "val")
    (counts,) = street_counts(Run("kd", 0, params), dataset).values()
    assert counts.tolist() == [[3, 0], [4, 0], [4, 1]]
    assert miou(counts) == 100 * matrix.miou("skip") == 30.0


@pytest.mark.long
def test_a_study_runs_resumes_and_answers(params: Params) -> None:
    plan = without_topology()
    study = Study(plan, params)
    assert study.work(poll=0.1) == 1 + 4 + 4
    assert study.work() == 0
    trials = [read_json(study.file(u)) for u in study.units if u.kind == "trial" and u.row == "kd"]
    assert [t["terms"]["kd"]["weight"] for t in trials] == [
        0.1 * params.terms["kd"]["weight"],
        params.terms["kd"]["weight"],
    ]
    best = study.chosen("kd")
    runs = [read_json(study.file(Unit("run", "kd", seed))) for seed in (0, 1)]
    assert best["miou"] == max(t["miou"] for t in trials) and {r["terms"]["kd"]["weight"] for r in runs} == {
        best["terms"]["kd"]["weight"]
    }
    counts = study.scores("kd").counts
    assert counts.shape == (2, 1, 3, 19) and counts[:, :, 2].sum() == 2 * 2400  # points of the validation scans
    assert not list((params.workspace / "teacher_outputs").iterdir())  # no use after the last row of a seed
    (answer,) = compare(plan, {row: study.scores(row) for row in plan.rows})
    assert answer["seeds"] == 2 and set(answer["intervals"]) == {"seeds", "streets", "both"}
    assert answer["difference"] == pytest.approx(
        sum(r["miou"] for r in runs) / 2
        - sum(read_json(study.file(Unit("run", "plain", s)))["miou"] for s in (0, 1)) / 2
    )
    file = study.file(Unit("run", "kd", 1))
    before = read_json(file) | {"cpu_seconds": 0}
    file.unlink()
    assert study.work() == 1  # its training is not repeated; the record is the same but for the time
    assert read_json(file) | {"cpu_seconds": 0} == before
    # A study that continues in a fresh clone has the records and no weights: the teacher is trained again.
    file.unlink()
    shutil.rmtree(params.workspace)
    shutil.rmtree(params.results / "runs")
    assert study.work() == 1
    assert read_json(file) | {"cpu_seconds": 0} == before


def test_a_unit_that_another_worker_holds_is_left_alone(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(without_topology(), params)
    locks = params.workspace / "locks"
    locks.mkdir(parents=True)
    ran: list[str] = []
    done: set[str] = set()
    monkeypatch.setattr(Study, "run", lambda self, unit: (ran.append(unit.name), done.add(unit.name)))
    monkeypatch.setattr(Study, "is_done", lambda self, unit: unit.name in done)

    def other_worker_finishes(seconds: float) -> None:
        done.add("teacher-teacher-0")

    monkeypatch.setattr("topokd.experiments.work.time.sleep", other_worker_finishes)
    with (locks / "teacher-teacher-0.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        study.work()
    assert "teacher-teacher-0" not in ran and len(ran) == len(study.units) - 1


def test_two_workers_do_not_compute_the_same_outputs_of_the_teacher(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(PLAN.replace(tuning={"student_steps": 2}), params)
    done = {unit.name for unit in study.units if unit.kind != "run"} | {"run-plain-0", "run-plain-1"}
    monkeypatch.setattr(Study, "is_done", lambda self, unit: unit.name in done)
    ready = [unit for unit in study.units if unit.name not in done]
    assert study._next(ready).name == "run-kd-0"
    with study.lock("run-kd-0"):  # another worker, which stores the outputs for seed 0
        assert study._next(ready).name == "run-kd-1"
        assert study._next([unit for unit in ready if unit.number == 0][1:]).name == "run-kd_topo-0"  # no other choice
    done.add("run-kd-0")  # all outputs are stored
    with study.lock("run-kd_topo-0"):
        assert study._next(ready[2:]).name == ready[2].name


def test_the_default_has_the_weights_that_the_search_chose() -> None:
    chosen = read_json(PROJECT / "study/answers/weights.json")["chosen"]
    weights = {name: term["weight"] for name, term in load_profile("default").terms.items()}
    assert weights["kd"] == chosen["kd"]["weights"]["kd"]
    assert {name: weights[name] for name in ("topo", "grad", "kd")} == chosen["full"]["weights"]


def test_the_committed_protocol_is_sound() -> None:
    plan, params = read_plan()
    assert len(params.seeds) >= 10 and len(params.teacher_seeds) >= 2
    world, default = params.data.synthetic, Params().data.synthetic
    assert len(world.val_sequences) >= 24 and len(world.val_sequences) * world.val_scans_per_sequence >= 60
    assert not {*plan.tuning.sequences, *default.val_sequences, *default.train_sequences} & set(world.val_sequences)
    assert params.train.student_steps >= 3 * Params().train.student_steps
    assert plan.margin == 0.5 and power_table(plan, len(params.seeds))[-1]["power"] > 0.8


def test_unfair_protocols_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="same number of trials"):
        schema.validate(StudyPlan, {"factors": [1.0, 2.0], "learning_rate_factors": [1.0]})
    committed = yaml.safe_load((PROJECT / "study/plan.yaml").read_text())
    for key, value, message in (
        ("seed", 3, "is a seed of the profile"),
        ("sequences", [60, 100], r"shares streets \[100\]"),
    ):
        file = tmp_path / f"{key}.yaml"
        file.write_text(yaml.safe_dump(committed | {"tuning": committed["tuning"] | {key: value}}))
        with pytest.raises(ParameterError, match=message):
            read_plan(file)
