"""Teachers that profiles lend to one another, and the outputs of a teacher that the rows of a seed share."""

from __future__ import annotations

from pathlib import Path

import pytest

from topokd.experiments import teachers
from topokd.experiments.teachers import clear_outputs, lend
from topokd.params import Params
from topokd.training import Run
from topokd.training.teacher_outputs import TeacherOutputs


def test_a_teacher_is_lent_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "study/teacher.safetensors", tmp_path / "tuning/checkpoints/teacher.safetensors"
    source.parent.mkdir()
    source.write_bytes(b"new weights")
    copy = teachers.shutil.copyfile

    def killed(source: Path, target: Path) -> None:
        Path(target).write_bytes(b"new")
        raise KeyboardInterrupt

    for before in (None, b"old weights"):
        if before:
            target.write_bytes(before)
        monkeypatch.setattr(teachers.shutil, "copyfile", killed)
        with pytest.raises(KeyboardInterrupt):
            lend(source, target)
        assert (target.read_bytes() if target.exists() else None) == before
        monkeypatch.setattr(teachers.shutil, "copyfile", copy)
        lend(source, target)
        assert target.read_bytes() == b"new weights"
    monkeypatch.setattr(teachers.shutil, "copyfile", lambda *given: pytest.fail("it was there"))
    lend(source, target)
    lend(source, source)


def test_outputs_of_all_ranks_of_a_seed_are_deleted_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    run = Run("kd", 1, Params())
    for name in ("seed1", "seed1.0of2", "seed1.1of2", "seed11", "seed0", "seed10.0of2"):
        TeacherOutputs(run.kept, name, "ab12", []).save(0, {"logits": {}})
    clear_outputs(run)
    assert sorted(folder.name for folder in run.kept.iterdir()) == ["seed0-ab12", "seed10.0of2-ab12", "seed11-ab12"]
