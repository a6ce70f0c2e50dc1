"""dvc.lock, written and killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import PROJECT
from topokd.pipeline import lock_file
from topokd.pipeline.graph import read_stages
from topokd.pipeline.repository import StageError
from topokd.pipeline.stage import run_stage

DVC = [sys.executable, "-m", "dvc"]
PIPELINE = """\
stages:
  copy:
    matrix: {profile: [default], number: [1, 2]}
    cmd: cp input.txt results/${item.profile}/${item.number}.txt  # a long comment, so that the line is wrapped by YAML
    deps: [input.txt]
    outs:
    - results/${item.profile}/${item.number}.txt:
        cache: false
"""
FIRST, SECOND = "copy@default-1", "copy@default-2"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "params.yaml").write_text("profiles: [default]\n")
    (tmp_path / "input.txt").write_text("1\n")
    (tmp_path / "results/default").mkdir(parents=True)
    subprocess.run([*DVC, "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    return tmp_path


def test_a_stage_replaces_the_file_by_one_with_the_bytes_of_dvc(project: Path) -> None:
    assert run_stage(FIRST) == 0
    file = project / "dvc.lock"
    before = file.stat().st_ino
    assert run_stage(SECOND) == 0
    assert file.stat().st_ino != before
    ours = file.read_bytes()
    file.unlink()
    for stage in (FIRST, SECOND):
        subprocess.run([*DVC, "commit", "-q", "-f", stage], cwd=project, check=True)
    assert file.read_bytes() == ours


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_a_file_that_a_killed_dvc_left_is_restored(
    project: Path, share: float, caplog: pytest.LogCaptureFixture
) -> None:
    assert run_stage(FIRST) == 0
    lock_file.keep()
    good = (project / "dvc.lock").read_bytes()
    (project / "dvc.lock").write_bytes(good[: int(share * len(good))])
    assert lock_file.is_incomplete()
    assert [stage.address for stage in read_stages("default")] == [FIRST, SECOND]
    assert (project / "dvc.lock").read_bytes() == good
    assert "restored from" in caplog.text
    assert run_stage(FIRST) == 0 and yaml.safe_load(good)["stages"].keys() == {FIRST}


def test_conflict_markers_are_left_to_the_user(project: Path) -> None:
    assert run_stage(FIRST) == 0
    text = "<<<<<<< HEAD\n" + (project / "dvc.lock").read_text()
    (project / "dvc.lock").write_text(text)
    assert not lock_file.is_incomplete()
    lock_file.restore()
    lock_file.keep()
    assert (project / "dvc.lock").read_text() == text
    with pytest.raises(StageError, match=r"dvc\.lock: line 1 begins a conflict .* git checkout --ours dvc\.lock$"):
        read_stages("default")


def test_conflict_markers_in_the_pipeline_are_named(project: Path) -> None:
    lines = PIPELINE.splitlines()
    marked = [*lines[:4], "<<<<<<< HEAD", "    deps: [input.txt]", "=======", lines[4], ">>>>>>> other", *lines[5:]]
    (project / "dvc.yaml").write_text("\n".join(marked))
    with pytest.raises(StageError, match=r"dvc\.yaml: line 5 begins a conflict .* delete the marks <<<<<<<, =======,"):
        read_stages("default")


def test_a_damaged_file_without_a_copy_stays(project: Path) -> None:
    (project / "dvc.lock").write_text("schema: '2.0'\nsta")
    assert lock_file.is_incomplete()
    lock_file.restore()
    assert (project / "dvc.lock").read_text() == "schema: '2.0'\nsta"
