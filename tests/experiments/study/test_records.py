"""Records of a study: what is not a record of its unit is refused by name, and a unit that diverges stops no other."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT
from topokd.errors import DataError, ParameterError, TrainingError
from topokd.experiments.study.answer import answer
from topokd.experiments.study.plan import Unit, read_plan
from topokd.experiments.study.runner import Study
from topokd.experiments.work import Experiment
from topokd.io import read_json, write_json


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """The committed study, with a copy of its records."""
    made = Study(*read_plan(PROJECT / "study/plan.yaml"))
    made.folder = tmp_path / "records"
    shutil.copytree(PROJECT / "results/study/study", made.folder)
    return made


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(file: Path) -> None:
        record = read_json(file)
        change(record)
        write_json(file, record)

    return edit


def of_seed_4(file: Path) -> None:
    shutil.copyfile(file.with_name("run-kd-4.json"), file)


def of_the_comparison(file: Path) -> None:
    shutil.copyfile(PROJECT / "results/comparison/study/run-kd-0.json", file)


def short_list(record: dict[str, Any]) -> None:
    record["streets"]["100"][0].pop()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: file.write_text("{"), "it is not valid JSON"),
        (lambda file: file.write_text("[]"), "it has a list where a record is expected"),
        (lambda file: file.write_text("{}"), "its `unit` is None"),
        (of_seed_4, "its `unit` is 'run-kd-4': it is the record of another one"),
        (of_the_comparison, "its `steps` is 600, in this study it is 1200"),
        (edited(lambda record: record.pop("history")), "it lacks `history`"),
        (edited(lambda record: record.update(seed=7)), "its `seed` is 7, in this study it is 0"),
        (edited(lambda record: record["terms"]["kd"].update(weight=1.0)), "its `terms` is"),
        (edited(lambda record: record["streets"].pop("100")), "its streets are 101, 102"),
        (edited(lambda record: record.update(streets=5)), "must be counts by street"),
        (edited(short_list), "one count per class"),
        (edited(lambda record: record.update(miou=50.0)), "its `miou` is 50.0, but its counts give 38.0"),
    ],
)
def test_a_record_that_is_not_that_of_its_unit_is_refused(
    study: Study, damage: Callable[[Path], object], words: str
) -> None:
    unit = Unit("run", "kd", 0)
    assert study.record(unit)["unit"] == "run-kd-0"
    damage(study.file(unit))
    for read in (lambda: study.record(unit), lambda: answer(study)):
        with pytest.raises(DataError) as caught:
            read()
        assert (
            words in str(caught.value) and "run-kd-0.json" in str(caught.value) and "git checkout" in str(caught.value)
        )


@pytest.mark.parametrize("name", ["study", "weights", "comparison", "cross_validation"])
def test_all_committed_records_are_those_of_their_units(name: str) -> None:
    study = Study(*read_plan(PROJECT / f"study/{'plan' if name == 'study' else name}.yaml"))
    done = [unit for unit in study.units if study.is_done(unit)]
    assert done and all(study.record(unit)["unit"] == unit.name for unit in done)


class Counted(Experiment[Unit]):
    """Units that need the first one, and some of which diverge."""

    def __init__(self, folder: Path, diverge: set[str], needed: str = "") -> None:
        units = [Unit("run", name, 0) for name in "abcd"]
        super().__init__(units, folder / "records", folder / "locks")
        self.diverge, self.needed = diverge, needed

    def compute(self, unit: Unit) -> dict[str, Any]:
        if unit.row in self.diverge:
            raise TrainingError("step 3: the loss is not finite")
        return {}

    def needs(self, unit: Unit) -> list[Unit]:
        return [self.units[0]] if unit.row == self.needed else []


def test_a_unit_that_diverges_stops_only_what_needs_it(tmp_path: Path) -> None:
    experiment = Counted(tmp_path, {"a"}, needed="c")
    for _ in range(2):  # it diverges again
        with pytest.raises(TrainingError, match=r"2 of 4 units cannot be run. Failed: run-a-0: step 3: the loss"):
            experiment.work(poll=0.01)
        assert [unit.row for unit in experiment.units if experiment.is_done(unit)] == ["b", "d"]
    assert experiment.status().endswith("-       run-c-0\ndone    run-d-0\n2 of 4 done\n")
    with experiment.lock("run-a-0"):
        assert experiment.status().endswith("2 of 4 done, 1 running\n")
    experiment.diverge = set()
    assert experiment.work(poll=0.01) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rows: {}", "`rows` is empty"),
        ("{rows: {kd: {}}, comparisons: [[kd, kd]]}", "compares 'kd' with itself"),
        ("{rows: {kd: {}}, added: [[kd, plain]]}", "added names 'plain'"),
        ("shares: [0.0, 1.0]", "run `python -m topokd.experiments.dose`"),
    ],
)
def test_a_protocol_that_compares_nothing_is_refused(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(text)
    with pytest.raises(ParameterError, match=words):
        read_plan(file)
    with pytest.raises(ParameterError, match="is a folder: name the file of a protocol"):
        read_plan(tmp_path)
