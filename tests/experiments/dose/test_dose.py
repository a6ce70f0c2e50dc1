"""Dose and response: arms, a tiny experiment from start to figure, a sentence that follows from the numbers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.conftest import PROJECT
from tests.training.conftest import scans, tiny_params  # noqa: F401  # the fixture
from topokd.errors import ParameterError
from topokd.experiments.dose.answer import MEASURES, answer, sentence
from topokd.experiments.dose.plan import DosePlan, arm_params, arms, read_dose_plan
from topokd.experiments.dose.runner import Dose
from topokd.io import read_json
from topokd.params import Params, load_profile
from topokd.training import Run, train_teacher
from topokd.viz.dose import dose_figure

PLAN = DosePlan(
    profile="small",
    shares=(0.0, 1.0),
    variants={"stage": [3]},
    teacher_of="other",
    scans=2,
    objects=("car", "building"),
    thin=("car",),
)


@pytest.fixture
def params(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:  # noqa: F811
    params = tiny_params(scans).with_term("topo", stage=1)
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    train = params.train.replace(teacher_steps=2, student_steps=2, gradients_every=1)
    return params.replace(profile="small", seeds=(0,), train_rows=("kd", "kd_topo"), train=train)


@pytest.mark.long
def test_an_experiment_runs_resumes_and_answers(params: Params) -> None:
    lender = params.replace(profile="other")
    train_teacher(lender, 0)
    dose = Dose(PLAN, params)
    assert dose.work(poll=0.1) == 1 + 3 and dose.work() == 0
    records = dose.records()
    teacher = Run("teacher", 0, params).checkpoint
    assert teacher.read_bytes() == Run("teacher", 0, lender).checkpoint.read_bytes()
    assert records["teacher"][0]["taken_from"] == "other"
    assert records["teacher"][0]["measures"]["distance"] == 0.0  # to itself
    for name, arm in dose.arms.items():
        for record in records[name].values():
            assert set(MEASURES) <= set(record["measures"]) and record["measures"]["distance"] > 0
            terms = record["history"]["gradients"]["terms"]
            if not arm.share:
                assert "topo" not in terms
                continue
            for weight, own, seg in zip(
                terms["topo"]["weight"], terms["topo"]["parameters"], terms["seg"]["parameters"], strict=True
            ):
                assert weight * own / seg == pytest.approx(arm.share, rel=1e-4)
            assert ("own_distance" in record["measures"]) == bool(arm.options)
    assert records["stage-3"][0]["terms"]["topo"]["stage"] == 3
    assert not list((params.workspace / "teacher_outputs").iterdir())  # no use after the last arm of a seed
    answers = answer(PLAN, params, records)
    assert [arm["arm"] for arm in answers["arms"]] == list(dose.arms)
    assert answers["sentence"].startswith("Not measured yet: 2 runs")  # one seed says nothing
    assert dose_figure(answers) is not None
    file = dose.file(dose.units[-1])
    before = read_json(file)
    file.unlink()
    assert dose.work() == 1  # its training is not repeated; the record is the same but for the time
    assert {**read_json(file), "cpu_seconds": 0} == {**before, "cpu_seconds": 0}
    # A fresh clone has the records and no weights: the teacher is taken over again.
    file.unlink()
    shutil.rmtree(params.workspace)
    shutil.rmtree(params.results / "runs")
    assert dose.work() == 1
    assert {**read_json(file), "cpu_seconds": 0} == {**before, "cpu_seconds": 0}


def test_arms_of_a_kind_share_the_teacher(params: Params) -> None:
    every = arms(PLAN)
    doses, variants = (arm_params(params, PLAN, arm).train_rows for arm in (every[0], every[-1]))
    assert doses == ("share-0", "share-100") and variants == ("stage-3",)
    assert arm_params(params, PLAN, every[0]).train.balance == "none"


DOSES = PLAN.replace(shares=(0.0, 0.1, 1.0), variants={})


def invented(distance: list[float], miou: list[float], noise: float = 0.1, seeds: int = 4) -> dict:
    rng = np.random.default_rng(0)
    return {
        arm.name: {
            seed: {"measures": {"distance": d + noise * rng.normal(0, 0.02), "miou": m + noise * rng.normal()}}
            for seed in range(seeds)
        }
        for arm, d, m in zip(arms(DOSES), distance, miou, strict=True)
    }


@pytest.mark.unit
@pytest.mark.parametrize(
    ("distance", "miou", "noise", "words"),
    [
        ([0.5, 0.4, 0.2], [20, 22, 24], 0.1, ["falls (−60 %, 95 %", "accuracy follows: it rises"]),
        ([0.5, 0.4, 0.2], [20, 18, 16], 0.1, ["falls (−60 %, 95 %", "accuracy does not follow: it falls"]),
        ([0.5, 0.4, 0.2], [20, 20, 20], 0.1, ["falls (−60 %, 95 %", "accuracy stays the same within ±0.5 points"]),
        ([0.5, 0.5, 0.5], [20, 20, 20], 5.0, ["open whether the topological", "open whether accuracy changes"]),
        ([0.2, 0.3, 0.5], [20, 22, 24], 0.1, ["rises, although it is trained for", "accuracy changes: it rises"]),
    ],
)
def test_the_sentence_follows_from_the_numbers(
    distance: list[float], miou: list[float], noise: float, words: list[str]
) -> None:
    text = sentence(DOSES, invented(distance, miou, noise))
    assert all(part in text for part in words), text
    assert "at the smallest dose" in text and "variants" not in text


@pytest.mark.unit
def test_variants_that_change_accuracy_are_named_and_counted() -> None:
    plan = DOSES.replace(variants={"stage": (0, 3)})
    records = invented([0.5, 0.4, 0.2], [20, 20, 20], 0.1)
    variants = [arm for arm in arms(plan) if arm.axis != "share"]
    control = records[arms(DOSES)[0].name]
    for k, arm in enumerate(variants):
        records[arm.name] = {
            seed: {"measures": record["measures"] | {"miou": record["measures"]["miou"] - 3 * (k == 0) + 0.01 * seed}}
            for seed, record in control.items()
        }
    text, first = sentence(plan, records), variants[0]
    assert f"Of {len(variants)} variants of L_topo at {100 * first.share:g} %, not corrected for their number" in text
    assert f"{first.axis} {first.value} lowers mIoU (−2.9" in text and text.count("lowers") == 1
    records[first.name] = records[variants[-1].name]
    assert "lowers" not in sentence(plan, records)


@pytest.mark.unit
def test_the_figure_names_the_share_of_the_variants_and_the_settings_that_they_differ_from() -> None:
    plan = DOSES.model_copy(update={"variants": {"num_points": [64], "dims": [[0]]}, "variants_share": 1.0})
    records = invented([0.5, 0.4, 0.2], [20, 22, 24])
    records |= {name: records[arms(DOSES)[-1].name] for name in ("num_points-64", "dims-0")}
    answers = answer(plan, load_profile("dose"), records)
    figure = dose_figure(answers | {"teacher": {"miou": 30.0}, "reference": {"num_points": 256, "dims": [0, 1]}})
    assert figure is not None
    first = figure.axes[6]
    assert [text.get_text() for text in first.get_yticklabels()] == ["as above", "M 64", "degree 0"]
    assert first.get_title().endswith("change by L_topo at 100 %")
    assert first.get_xlabel() == "as above: M 256, degrees 0 and 1"
    assert "teacher" in {text.get_text() for text in figure.legends[0].get_texts()}
    assert not any(axes.texts for axes in figure.axes)  # no word across a curve
    older = dose_figure({name: value for name, value in answers.items() if name != "reference"})
    assert older is not None and older.axes[6].get_xlabel() == ""


@pytest.mark.unit
def test_without_two_complete_seeds_nothing_is_claimed() -> None:
    records = invented([0.5, 0.4, 0.2], [20, 22, 24])
    assert sentence(DOSES, {k: {0: v[0]} for k, v in records.items()}).startswith("Not measured yet: 3 runs")
    assert dose_figure(answer(DOSES, Params(), {})) is None


def test_the_committed_arms_are_those_of_the_issue() -> None:
    plan, params = read_dose_plan()
    assert plan.shares == (0.0, 0.01, 0.03, 0.1, 0.3, 1.0) and len(params.seeds) >= 3
    assert {arm.axis for arm in arms(plan)} == {"share", "num_points", "stage", "normalize", "dims", "gradient"}
    count = len(arms(plan))
    assert f"# {count} arms x {len(params.seeds)} seeds" in (PROJECT / "study/dose.yaml").read_text()
    text = " ".join((PROJECT / "docs/study.md").read_text().split())  # whatever the lines break at
    students, teachers = count * len(params.seeds), len(params.teacher_seeds)
    assert f"{count} arms of three seeds" in text
    assert teachers == 1 and f"takes {students + 1} runs (the teacher and {students} students)" in text


def test_impossible_arms_are_rejected(tmp_path: Path) -> None:
    committed = yaml.safe_load((PROJECT / "study/dose.yaml").read_text())
    for change, message in (
        ({"shares": [0.1, 1.0]}, "must start with 0"),
        ({"variants": {"stages": [1]}}, "variants.stages'; did you mean 'stage'"),
        ({"row": "kd"}, "row must have the term 'topo'"),
        ({"thin": ["mast"]}, "not in `objects`"),
    ):
        file = tmp_path / "dose.yaml"
        file.write_text(yaml.safe_dump(committed | change))
        with pytest.raises(ParameterError, match=message):
            read_dose_plan(file)
