"""What `topokd slurm status` and `logs` say, and what a task writes down."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.slurm.commands import call
from topokd import params as P
from topokd.errors import ParameterError
from topokd.io import write_json
from topokd.pipeline.slurm import jobs, task


def test_the_state_of_each_stage_is_described(project: Path) -> None:
    known = {f"teacher@default-{k}": f"7_{k}" for k in range(2)}
    known |= {"student@default-kd-0": "8_0", "student@default-full-0": "8_1", "student@default-kd-1": "8_2"}
    jobs.write_jobs("default", known)
    (project / "queue").write_text(
        "7_0|RUNNING|None|n3|1:02\n7_1|PENDING|Priority||0:00\n8_0|PENDING|DependencyNeverSatisfied||0:00\n"
    )
    log = jobs.log_file("default", "teacher", "7_0")
    log.parent.mkdir(parents=True)
    log.write_text("first\nstep 20 of 100\n\n")
    write_outcome(project, "student@default-full-0", job="8_1", state="failed", status=1)
    status, said = call("status")
    assert status == 1
    assert "teacher@default-0: running (job 7_0 on n3, 1:02) step 20 of 100" in said
    assert "teacher@default-1: pending (job 7_1: Priority)" in said
    assert "student@default-kd-0: pending (job 8_0: DependencyNeverSatisfied; `topokd slurm resume` submits" in said
    assert "student@default-full-0: failed with status 1 (job 8_1 on n1), see" in said
    assert "student@default-kd-1: not run (job 8_2 left the queue" in said and "paper@default: not submitted" in said
    assert "data@default" not in said  # it is done


def write_outcome(project: Path, address: str, **values: Any) -> None:

    file = jobs.folder("default") / "outcomes" / f"{address}.json"
    write_json(file, {"status": None, "node": "n1", "attempt": 1, **values})


def test_a_task_that_ended_without_a_message_differs_from_one_that_is_out_of_date(project: Path) -> None:
    address = "teacher@default-0"
    write_outcome(project, address, job="3_0", state="running")
    assert jobs.describe("default", address, False, "3_0", None).startswith("ended without a message (job 3_0 on n1")
    write_outcome(project, address, job="3_0", state="done", status=0)
    assert jobs.describe("default", address, False, "3_0", None) == "out of date since job 3_0"
    assert jobs.describe("default", address, True, "3_0", None) == "done"


def test_logs_are_those_of_the_failed_stages_or_of_the_one_that_is_named(project: Path) -> None:
    jobs.write_jobs("default", {"teacher@default-0": "7_0", "teacher@default-1": "7_1"})
    assert call("logs") == (0, "no stage failed\n")
    write_outcome(project, "teacher@default-1", job="7_1", state="failed", status=2)
    log = jobs.log_file("default", "teacher", "7_1")
    log.parent.mkdir(parents=True)
    log.write_text("one\ntwo\nthree\n")
    assert call("logs", "-n", "2")[1] == f"teacher@default-1: {log}\n    two\n    three\n"
    assert call("logs", "teacher@default-0")[1].endswith("    not started yet\n")
    assert "paper@default was not submitted; known: teacher@default-0" in call("logs", "paper@default")[1]


def test_a_task_notes_how_its_stage_ended(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    P.dump(P.Params(), project / "results" / "default" / "params.yaml")
    for name, value in {"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(task, "die_with_parent", lambda: None)
    for status, state in ((0, "done"), (143, "stopped"), (5, "failed")):
        monkeypatch.setattr(task, "run_stage", lambda address, status=status: status)
        assert task.run_task("default", "teacher@default-0") == status
        outcome = jobs.read_outcome("default", "teacher@default-0", "12_3")
        assert outcome is not None and (outcome.state, outcome.status, outcome.attempt) == (state, status, 2)
    assert jobs.read_outcome("default", "teacher@default-0", "12_4") is None


def test_a_task_with_fewer_cores_than_threads_is_rejected(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    P.dump(P.Params(train=P.Train(threads=4)), project / "results" / "default" / "params.yaml")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
    monkeypatch.setattr(task, "die_with_parent", lambda: None)
    with pytest.raises(ParameterError, match="2 cores, but train.threads of profile default is 4: set `cpus`"):
        task.run_task("default", "teacher@default-0")


def test_a_node_without_a_home_gets_a_temporary_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(project / "absent"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(project))
    task.use_node_folders()
    home = Path(os.environ["HOME"])
    assert home.parent == project and home.is_dir() and home.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("HOME", "")
    task.use_node_folders()
    assert os.environ["HOME"] == str(home)  # that of the first task of the node


@pytest.mark.parametrize("planted", ["a link", "an open folder", "a file"])
def test_a_home_that_another_user_could_have_put_there_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    """Start-up files of IPython in it would be executed."""
    shared, theirs = tmp_path / "tmp", tmp_path / "theirs"
    shared.mkdir()
    theirs.mkdir()
    usual = shared / f"topokd-home-{os.getuid()}"
    if planted == "a link":
        usual.symlink_to(theirs)
    elif planted == "a file":
        usual.touch()
    else:
        usual.mkdir()
        usual.chmod(0o777)
    monkeypatch.setenv("HOME", "")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(shared))
    monkeypatch.setattr("tempfile.tempdir", str(shared))
    task.use_node_folders()
    home = Path(os.environ["HOME"])
    assert home != usual and home.parent == shared and home.lstat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("content", ["[]", "null", "3", "{", '{"job": "7_0"}', '"text"'])
def test_damaged_records_of_jobs_stop_nothing(project: Path, content: str):
    folder = jobs.folder("default")
    (folder / "outcomes").mkdir(parents=True)
    for file in (folder / "jobs.json", folder / "outcomes" / "teacher@default-0.json"):
        file.write_text(content)
    assert isinstance(jobs.read_jobs("default"), dict)
    assert jobs.read_outcome("default", "teacher@default-0", "7_0") is None
