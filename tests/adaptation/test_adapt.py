"""One command from a few labelled scans of another sensor to a scored student."""

from __future__ import annotations

import fcntl
import json
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from tests.adaptation.conftest import CROP, VOXEL, YARD, write_yard
from topokd.adaptation import Adaptation, Settings, adapt, collect_scans
from topokd.adaptation.pseudo import PseudoLabelled
from topokd.adaptation.saving import ResumeByTime
from topokd.cli import app
from topokd.data.profile import ScanProfile
from topokd.errors import CheckpointError, DataError, ParameterError
from topokd.evaluation import ConfusionMatrix
from topokd.label_maps import load_label_map
from topokd.labelling import Labeller
from topokd.models import load_checkpoint, read_metadata, save_checkpoint
from topokd.training.distributed import Ranks
from topokd.training.state import ResumeFolder

SETTINGS = Settings(
    **{"student": "ptv3-tiny", "teacher_steps": 15, "steps": 30, "batch_size": 2, "crop_voxels": CROP},
    **{"teacher_lr": 0.01, "student_lr": 0.01, "confidence": 0.4, "checkpoint_every": 4},
)


@pytest.fixture(scope="module")
def adapted(yard: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Adaptation:
    output = tmp_path_factory.mktemp("adapted") / "student.safetensors"
    return adapt(teacher, yard, load_label_map(yard / "yard.yaml"), output, settings=SETTINGS)


def constant_miou(score: ConfusionMatrix) -> float:
    """mIoU of predicting the most frequent class everywhere."""
    counts = score.matrix.sum(0)
    return counts.max() / counts.sum() / int((counts > 0).sum())


def test_the_student_learns_the_classes_of_the_new_sensor(adapted: Adaptation, yard: Path) -> None:
    assert (adapted.labelled, adapted.held_out, adapted.unlabelled) == (2, 2, 4) and adapted.rule == "the split val"
    assert adapted.student_score.class_names == ("road", "verge", "structure", "plants", "car")
    assert adapted.student_score.miou("skip") > 1.3 * constant_miou(adapted.student_score)
    assert adapted.teacher_score.miou("skip") > 1.3 * constant_miou(adapted.teacher_score)
    assert 0 < adapted.pseudo_share < 1
    record = json.loads(adapted.record.read_text())
    held_out = {f"thu/{number:03d}" for number in range(2)}
    assert set(record["scans"]["held_out"]) == held_out and not held_out & set(record["scans"]["labelled"])
    truth = sum(
        np.isin(np.fromfile(yard / "truth/thu" / f"{k:03d}.label", "<u2"), [0], invert=True).sum() for k in (0, 1)
    )
    assert record["evaluation"]["student"]["points"] == truth


def test_the_checkpoint_records_everything_that_predict_needs(adapted: Adaptation, yard: Path, tmp_path: Path) -> None:
    metadata = read_metadata(adapted.student)
    assert metadata["class_names"] == "road,verge,structure,plants,car" and float(metadata["voxel_size"]) == VOXEL
    assert ScanProfile.from_json(metadata["scans"]).scans == 2
    assert Labeller(adapted.student).classes.ids == (11, 12, 20, 30, 5)  # of the map, without --labels
    command = [
        "predict",
        str(adapted.student),
        str(yard / "drives" / "thu"),
        "-o",
        str(tmp_path / "out"),
        "--views",
        "0",
    ]
    done = CliRunner().invoke(app, [*command, "--labels", str(yard / "yard.yaml")])
    assert done.exit_code == 0, done.output
    score = ConfusionMatrix(5)
    for number in range(2):
        prediction, truth = (
            np.fromfile(folder / f"{number:03d}.label", "<u2") for folder in (tmp_path / "out", yard / "truth" / "thu")
        )
        to_class = {11: 0, 12: 1, 20: 2, 30: 3, 5: 4, 0: -1}
        score.update(*([to_class[int(value)] for value in values] for values in (prediction, truth)))
    np.testing.assert_array_equal(score.matrix, adapted.student_score.matrix)


def test_a_finished_call_is_not_repeated(
    adapted: Adaptation, yard: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("topokd.training.Fit.run", lambda fit: pytest.fail("it trained again"))
    again = adapt(teacher, yard, load_label_map(yard / "yard.yaml"), adapted.student, settings=SETTINGS)
    np.testing.assert_array_equal(again.student_score.matrix, adapted.student_score.matrix)
    with pytest.raises(DataError, match="made from other inputs: choose another name, or pass --overwrite"):
        adapt(teacher, yard, load_label_map(yard / "yard.yaml"), adapted.student, settings=SETTINGS.replace(seed=1))


def test_a_result_of_another_version_of_the_code_is_not_returned(
    adapted: Adaptation, yard: Path, teacher: Path, edit_source: Callable[[str], None]
) -> None:
    edit_source("adaptation/pseudo.py")
    with pytest.raises(DataError, match="made from other inputs"):
        adapt(teacher, yard, load_label_map(yard / "yard.yaml"), adapted.student, settings=SETTINGS)


def test_of_two_calls_at_a_time_the_second_returns_the_result_of_the_first(
    adapted: Adaptation, yard: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one ends while the second waits for the lock."""
    output, messages = tmp_path / "student.safetensors", []
    monkeypatch.setattr("topokd.training.Fit.run", lambda fit: pytest.fail("both train"))

    def first_ends(log: logging.Logger, message: str) -> None:
        messages.append(message)
        for file in (adapted.student, adapted.record):
            shutil.copy(file, output.with_suffix(file.suffix))
        fcntl.flock(lock, fcntl.LOCK_UN)

    monkeypatch.setattr("topokd.adaptation.run.notify", first_ends)
    (tmp_path / "student.work").mkdir()
    with (tmp_path / "student.work/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        again = adapt(teacher, yard, load_label_map(yard / "yard.yaml"), output, settings=SETTINGS)
    assert messages == [f"another process makes {output}: waiting for it"]
    np.testing.assert_array_equal(again.student_score.matrix, adapted.student_score.matrix)


def test_a_finished_adaptation_can_be_compared_with_the_labelled_scans_alone(
    adapted: Adaptation, yard: Path, teacher: Path, tmp_path: Path
) -> None:
    output = tmp_path / "student.safetensors"
    for file in (adapted.student, adapted.record):
        shutil.copy(file, output.with_suffix(file.suffix))
    shutil.copytree(adapted.student.with_suffix(".work"), output.with_suffix(".work"))
    command = ["adapt", str(teacher), str(yard), "--labels", str(yard / "yard.yaml"), "-o", str(output), "--compare"]
    settings = SETTINGS.replace(compare=True)
    compared = adapt(teacher, yard, load_label_map(yard / "yard.yaml"), output, settings=settings)
    assert adapted.alone_score is None and compared.alone_score is not None
    assert output.read_bytes() == adapted.student.read_bytes()
    np.testing.assert_array_equal(compared.student_score.matrix, adapted.student_score.matrix)
    assert compared.alone_score.miou("skip") > 1.3 * constant_miou(compared.alone_score)
    with pytest.MonkeyPatch.context() as patch:  # the command prints what there is
        patch.setattr("topokd.adaptation.adapt", lambda *_, **__: compared)
        said = CliRunner().invoke(app, command).output
    better = compared.alone_score.miou("skip") >= compared.student_score.miou("skip")
    assert " alone" in said.splitlines()[1] and ("the teacher does not help here" in said) == better


@pytest.mark.long
@pytest.mark.parametrize("stage", ["teacher", "student"])
def test_an_interrupted_call_ends_with_the_same_bits(
    adapted: Adaptation, yard: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    from topokd.adaptation import pseudo, run

    module, draw = {"teacher": (run, "training_batch"), "student": (pseudo, "training_sample")}[stage]
    original, label_map = getattr(module, draw), load_label_map(yard / "yard.yaml")

    def interrupted(scans: Any, data: Any, seed: int, step: int, *rest: int) -> Any:
        if step == 9:
            raise KeyboardInterrupt
        return original(scans, data, seed, step, *rest)

    output = tmp_path / "student.safetensors"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, draw, interrupted)
        adapt(teacher, yard, label_map, output, settings=SETTINGS)
    assert not output.exists() and not output.with_suffix(".json").exists()
    steps: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(module, draw, lambda *given: steps.append(given[3]) or original(*given))
        adapt(teacher, yard, label_map, output, settings=SETTINGS)
    assert min(steps) == 8  # the last state before the interruption
    assert output.read_bytes() == adapted.student.read_bytes()


def test_an_output_that_cannot_be_written_is_found_before_the_training(
    yard: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("topokd.adaptation.run.starting_network", lambda *_: pytest.fail("it began to train"))
    label_map, output = load_label_map(yard / "yard.yaml"), tmp_path / "file/student.safetensors"
    with pytest.raises((NotADirectoryError, FileExistsError), match="file"):
        adapt(teacher, yard, label_map, output, settings=SETTINGS)


def test_unlabelled_folders_are_used_and_their_damaged_scans_left_out(
    yard: Path, teacher: Path, tmp_path: Path, caplog: Any
) -> None:
    extra = tmp_path / "extra"
    shutil.copytree(yard / "drives" / "wed", extra)
    (extra / "bad.npy").write_bytes(b"nonsense")
    scans = collect_scans(yard, load_label_map(yard / "yard.yaml"), [extra])
    assert [len(group) for group in scans.unlabelled] == [4, 3]
    network = load_checkpoint(teacher)
    pseudo = PseudoLabelled(scans.unlabelled, tmp_path / "pseudo").prepare(network, VOXEL, 0.3, 1, torch.device("cpu"))
    assert len(pseudo) == 6 and "left out" in caplog.text and "bad.npy" in caplog.text
    wed = scans.unlabelled[0].names.index("wed/000")
    first, copy = pseudo[wed], pseudo[4]  # the same scan through the label map and as a file
    np.testing.assert_array_equal(first.xyz, copy.xyz)
    np.testing.assert_array_equal(first.intensity, copy.intensity)
    np.testing.assert_array_equal(first.label, copy.label)


def test_without_a_split_val_the_last_labelled_scans_are_held_out(yard: Path, tmp_path: Path) -> None:
    own = {**YARD, "splits": {"train": ["mon", "tue", "thu"]}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    scans = collect_scans(yard, load_label_map(tmp_path / "own.yaml"), hold_out=0.5)
    assert scans.rule == "the last 2 labelled scans"
    assert scans.labelled.names == ["mon/000", "thu/000"] and scans.held_out.names == ["thu/001", "tue/001"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"output": "student.pt"}, "is written as .safetensors"),
        ({"settings": SETTINGS.replace(teacher_steps=0)}, "the teacher's classes are not those of Yard"),
        ({"settings": SETTINGS.replace(student="ptv3-tiniest")}, "did you mean 'ptv3-tiny'"),
        ({"hold_out": 1.0}, "hold-out is 1.0"),
        ({"device": "gpu"}, "device 'gpu' cannot be used"),
        ({"unlabelled": ["nowhere"]}, "nowhere does not exist"),
    ],
)
def test_impossible_values_are_rejected(
    yard: Path, teacher: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    given = {"output": "student.safetensors", "settings": SETTINGS, **change}
    output = tmp_path / given.pop("output")
    with pytest.raises((DataError, ParameterError), match=re.escape(words)):
        adapt(teacher, yard, load_label_map(yard / "yard.yaml"), output, **given)


def test_scans_without_labels_and_teachers_without_voxels_are_rejected(
    yard: Path, teacher: Path, tmp_path: Path
) -> None:
    label_map = write_yard(tmp_path / "bare", {"mon": (100, [False])})
    with pytest.raises(DataError, match="has 0 labelled scans of Yard .* label at least two scans"):
        adapt(teacher, tmp_path / "bare", load_label_map(label_map), tmp_path / "s.safetensors", settings=SETTINGS)
    shutil.copytree(yard, tmp_path / "ignored")
    for file in (tmp_path / "ignored" / "truth").rglob("*.label"):
        np.zeros(file.stat().st_size // 2, "<u2").tofile(file)
    with pytest.raises(DataError, match="none of the 2 labelled training scans has a point with a class"):
        collect_scans(tmp_path / "ignored", load_label_map(label_map))
    save_checkpoint(tmp_path / "old.safetensors", load_checkpoint(teacher), {"class_names": "a"})
    with pytest.raises(CheckpointError, match="does not record the voxel size"):
        adapt(tmp_path / "old.safetensors", yard, load_label_map(label_map), tmp_path / "s.safetensors")


def test_a_scan_cannot_be_learnt_from_and_scored_on(yard: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({**YARD, "splits": {"train": ["mon", "thu"], "val": ["thu"]}}))
    with pytest.raises(DataError, match="the scan thu/000 is in the splits train and val of Yard"):
        collect_scans(yard, load_label_map(tmp_path / "own.yaml"))


@pytest.mark.parametrize("size", ["wide", "nan", "-1", "0", ""])
def test_a_teacher_whose_voxel_size_was_edited_raises_a_clear_error(
    yard: Path, teacher: Path, tmp_path: Path, size: str
) -> None:
    save_checkpoint(tmp_path / "t.safetensors", load_checkpoint(teacher), {"class_names": "a", "voxel_size": size})
    with pytest.raises(CheckpointError, match=r"t\.safetensors: its metadata voxel_size"):
        adapt(tmp_path / "t.safetensors", yard, load_label_map(yard / "yard.yaml"), tmp_path / "s.safetensors")


def test_the_command_prints_the_held_out_score(adapted: Adaptation, yard: Path, teacher: Path) -> None:
    options = {
        **{"--student": "ptv3-tiny", "--teacher-steps": 15, "--steps": 1, "--batch-size": 2, "--crop-voxels": CROP},
        **{"--confidence": 0.4, "--labels": yard / "yard.yaml", "-o": adapted.student.with_name("short.safetensors")},
    }
    command = ["adapt", str(teacher), str(yard), *(str(part) for pair in options.items() for part in pair)]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "2 labelled scans, 4 unlabelled" in done.output and "2 held-out scans (the split val)" in done.output
    assert re.search(r"^mIoU +\d+\.\d\d +\d+\.\d\d$", done.output, re.MULTILINE)


def test_a_killed_training_resumes_from_a_state_that_was_saved_by_time(
    yard: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large network takes minutes for the steps between two states."""
    from topokd.adaptation import run

    original, label_map, steps = run.training_batch, load_label_map(yard / "yard.yaml"), []

    def drawn(scans: Any, data: Any, seed: int, step: int, size: int) -> Any:
        steps.append(step)
        if step == 3 and len(steps) == 4:
            raise KeyboardInterrupt
        return original(scans, data, seed, step, size)

    monkeypatch.setattr(run, "training_batch", drawn)
    monkeypatch.setattr(run, "ResumeByTime", lambda folder, every: ResumeByTime(folder, every, seconds=0.0))
    settings = SETTINGS.replace(checkpoint_every=1000, teacher_steps=4, steps=1)
    output = tmp_path / "student.safetensors"
    with pytest.raises(KeyboardInterrupt):
        adapt(teacher, yard, label_map, output, settings=settings)
    adapt(teacher, yard, label_map, output, settings=settings)
    assert steps[:5] == [0, 1, 2, 3, 3]  # not from the beginning


def test_a_state_is_not_saved_by_time_before_it_is_due(tmp_path: Path) -> None:
    class Steps:
        name, steps = "mine", 100
        state = type("State", (), {"step": 1})()
        ranks = Ranks()

        def is_due(self, every: int) -> bool:
            return False

        def state_dict(self) -> dict[str, int]:
            return {"step": self.state.step}

    resume: Any = ResumeByTime(ResumeFolder(tmp_path, "mine", "ab12"), every=50, seconds=1000.0)
    resume.after_step(Steps())
    assert resume.folder.load() is None
    resume.seconds = 0.0
    resume.after_step(Steps())
    assert resume.folder.load() == {"step": 1}


@pytest.mark.parametrize("which", ["teacher", "student"])
def test_the_student_never_replaces_a_network_that_it_is_made_from(
    yard: Path, teacher: Path, tmp_path: Path, which: str
) -> None:
    shutil.copy(teacher, tmp_path / "net.safetensors")
    before = (tmp_path / "net.safetensors").read_bytes()
    (tmp_path / "link.safetensors").symlink_to("net.safetensors")
    taught_by = tmp_path / "net.safetensors" if which == "teacher" else teacher
    student = str(tmp_path / "net.safetensors") if which == "student" else "ptv3-tiny"
    with pytest.raises(DataError, match=r"link\.safetensors is the (teacher|network that the student starts from)"):
        adapt(
            taught_by, yard, load_label_map(yard / "yard.yaml"), tmp_path / "link.safetensors",
            settings=SETTINGS.replace(student=student), overwrite=True,
        )  # fmt: skip
    assert (tmp_path / "net.safetensors").read_bytes() == before


def test_held_out_scans_in_an_unlabelled_folder_are_left_out(yard: Path, caplog: pytest.LogCaptureFixture) -> None:
    scans = collect_scans(yard, load_label_map(yard / "yard.yaml"), [yard / "drives"])
    used = {Path(name).parent.name for name in scans.unlabelled[1].names}
    assert used == {"mon", "tue", "wed"}  # not thu, the split val
    assert "2 of its scans are held out for the score and left out" in caplog.text
