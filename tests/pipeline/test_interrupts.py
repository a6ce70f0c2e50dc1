"""`topokd repro`: interrupted once and twice, terminated, started twice at once, and with damaged lock files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.cluster.project import Project

# four minutes of one pipeline after another: `make test-cluster` runs them, and CI after `make test`
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
RESULT = "teacher-0 20\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Two teachers that count slowly to 20 and save their state, and the stages around them."""
    made = Project.make(tmp_path / "project")
    (made.root / "slow").write_text("0.3")
    return made


def start(project: Project) -> subprocess.Popen[str]:
    """``topokd repro`` in its own session, as in a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "topokd.cli", "repro", "--jobs", "2"], cwd=project.root, env=project.environment(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for(project: Project, what: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 600
    while not list(project.root.glob(what)):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return ""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_ctrl_c_saves_the_state_and_the_next_run_resumes(project: Project, number: signal.Signals, status: int):
    process = start(project)
    wait_for(project, "workspace/default/resume/teacher-0", process)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == status and "repeat the command to continue" in printed
    step = int((project.root / "workspace/default/resume/teacher-0").read_text())
    assert 5 <= step < 20
    (project.root / "slow").unlink()
    again = start(project)
    again.communicate(timeout=240)
    assert (
        again.returncode == 0
        and "from step 0 " not in (project.root / "workspace/default/logs/teacher@default-0.log").read_text()
    )
    assert (project.root / "workspace/default/teacher-0.txt").read_text() == RESULT


def test_a_second_ctrl_c_ends_everything_immediately(project: Project):
    (project.root / "slow").write_text("20")
    process = start(project)
    wait_for(project, "workspace/default/data.txt", process)
    deadline, below = time.monotonic() + 600, list[psutil.Process]()
    while not any("train.py" in command_of(child) for child in below):
        assert time.monotonic() < deadline
        below = psutil.Process(process.pid).children(recursive=True)
        time.sleep(0.1)
    for _ in range(2):
        time.sleep(1.0)
        os.killpg(process.pid, signal.SIGINT)
    began = time.monotonic()
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 130 and "stopped at once" in printed and time.monotonic() - began < 19
    _, alive = psutil.wait_procs(below, timeout=60)
    assert not alive


def test_two_repros_at_once_run_each_stage_once_and_both_succeed(project: Project):
    (project.root / "slow").write_text("0.1")
    both = [start(project), start(project)]
    printed = [process.communicate(timeout=600)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert len(project.paper().splitlines()) == 6 and "up to date" in project.status()


@pytest.mark.parametrize("name", ["lock", "rwlock", "rwlock.lock", "topokd/data@default.lock"])
def test_damaged_lock_files_are_replaced(project: Project, name: str):
    file = project.root / ".dvc/tmp" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"\0\xff{half")
    command = [sys.executable, "-m", "topokd.cli", "stage", "params@default"]
    done = subprocess.run(command, cwd=project.root, env=project.environment(), timeout=240)
    assert done.returncode == 0 and (project.root / "results/default/params.yaml").exists()


def test_a_renamed_project_is_up_to_date(project: Project):
    (project.root / "slow").unlink()
    first = start(project)
    first.communicate(timeout=240)
    moved = Project(project.root.rename(project.root.with_name("renamed")))
    again = start(moved)
    printed, _ = again.communicate(timeout=240)
    assert first.returncode == again.returncode == 0 and "every stage is up to date" in printed
