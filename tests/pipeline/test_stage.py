"""`topokd stage`: DVC's lock is free while a stage computes, and many stages that want it at once all get it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from topokd.pipeline import repository
from topokd.pipeline.repository import PATIENCE, StageError, acquire_patiently, share_lock, with_lock
from topokd.pipeline.stage import run_stage

DVC = [sys.executable, "-m", "dvc"]
STAGE = """\
stages:
  a:
    cmd: {command}
    deps: [input.txt]
    outs: ["a.txt", "git.txt": {{cache: false}}]
  b:
    cmd: cat a.txt > b.txt
    deps: [a.txt]
    outs: [b.txt]
"""
COPY = "cp input.txt a.txt && cp input.txt git.txt"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "input.txt").write_text("1\n")
    (tmp_path / "dvc.yaml").write_text(STAGE.format(command=COPY))
    subprocess.run([*DVC, "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    return tmp_path


def dvc_status(project: Path) -> str:
    return subprocess.run([*DVC, "status"], cwd=project, capture_output=True, text=True).stdout


def test_a_stage_runs_once_and_dvc_agrees(project: Path, capsys: pytest.CaptureFixture[str]):
    assert run_stage("a") == 0 and run_stage("b") == 0
    assert (project / "b.txt").read_text() == "1\n" and "up to date" in dvc_status(project)
    assert run_stage("a") == 0
    assert "Stage 'a' didn't change, skipping" in capsys.readouterr().out
    (project / "input.txt").write_text("2\n")
    assert run_stage("a") == 0 and "b:" in dvc_status(project)


def test_the_lock_is_free_while_the_command_runs(project: Path):
    take = f"{sys.executable} -m dvc status > status.txt 2>&1 && {COPY}"
    (project / "dvc.yaml").write_text(STAGE.format(command=take))
    assert run_stage("a") == 0
    assert "ERROR" not in (project / "status.txt").read_text()


def test_a_dependency_that_changes_meanwhile_is_an_error_and_nothing_is_recorded(project: Path):
    (project / "dvc.yaml").write_text(STAGE.format(command=f"{COPY} && echo 2 > input.txt"))
    with pytest.raises(StageError, match=r"input\.txt changed while it ran"):
        run_stage("a")
    assert not (project / "dvc.lock").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["terminated", "interrupted"])
def test_dvc_lock_is_written_to_the_end_if_a_signal_arrives_meanwhile(
    project: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
):
    from dvc import dvcfile

    write = dvcfile.Lockfile.dump_stages

    def interrupted(*arguments: object, **named: object) -> None:
        signal.raise_signal(number)
        write(*arguments, **named)

    monkeypatch.setattr(dvcfile.Lockfile, "dump_stages", interrupted)
    assert run_stage("a") == 0
    assert "a.txt" in (project / "dvc.lock").read_text() and "a:" not in dvc_status(project)


def test_failures_have_the_status_of_the_command_or_name_the_file(project: Path):
    with pytest.raises(StageError, match=r"b: a\.txt does not exist"):
        run_stage("b")
    (project / "dvc.yaml").write_text(STAGE.format(command="exit 9"))
    assert run_stage("a") == 9
    (project / "dvc.yaml").write_text(STAGE.format(command="echo nothing"))
    with pytest.raises(StageError, match=r"did not write a\.txt, git\.txt"):
        run_stage("a")
    with pytest.raises(StageError, match="c is not a stage"):
        run_stage("c")


@pytest.mark.parametrize("content", ["[]", '{"write": {"a": 3}}'])
def test_a_damaged_rwlock_is_replaced(project: Path, content: str):
    file = project / ".dvc/tmp/rwlock"
    file.write_text(content)
    assert with_lock(lambda repo: 3, patience=5) == 3


def test_entries_of_a_killed_stage_are_removed_from_the_rwlock_and_those_of_a_running_dvc_are_kept(project: Path):
    alive = os.getpid()  # a process with that number exists, so DVC alone would wait for it forever
    file = project / ".dvc/tmp/rwlock"
    path = str(project / "a.txt")
    file.write_text(
        json.dumps({"write": {path: {"pid": alive, "cmd": "/x/topokd/cli/__main__.py stage a"}}, "read": {}})
    )
    assert run_stage("a", patience=20) == 0
    other = {"write": {path: {"pid": os.getppid(), "cmd": "dvc repro a"}}, "read": {}}
    file.write_text(json.dumps(other))
    (project / "input.txt").write_text("2\n")
    with pytest.raises(StageError, match="waited .* busy"):
        run_stage("a", patience=0)
    file.write_text('{"wri')
    assert run_stage("a", patience=20) == 0


@pytest.mark.long
def test_a_shared_folder_gets_a_lock_that_outlives_no_killed_owner_for_long(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    """The owner is killed with the lock; the next one gets it when its lifetime and 10 s of slack are over."""
    share_lock()
    assert "hardlink_lock = true" in (project / ".dvc/config.local").read_text().lower()
    hold = (
        "import time; from topokd.pipeline import repository as r; r.LIFETIME = 1.0\n"
        "r.with_lock(lambda repo: (print('held', flush=True), time.sleep(600)))"
    )
    owner = subprocess.Popen([sys.executable, "-c", hold], cwd=project, stdout=subprocess.PIPE)
    assert owner.stdout is not None and owner.stdout.readline() == b"held\n"
    with pytest.raises(StageError, match="waited"):
        with_lock(lambda repo: None, patience=0)
    monkeypatch.setattr(repository, "LOOK", 1.0)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert run_stage("a", patience=60) == 0


def test_a_lock_in_use_is_renewed(project: Path, monkeypatch: pytest.MonkeyPatch):
    share_lock()
    monkeypatch.setattr(repository, "RENEWAL", 0.05)
    monkeypatch.setattr(repository, "LIFETIME", 3.0)
    lock_file = project / ".dvc/tmp/lock"

    def expirations(repo: object) -> tuple[float, float]:
        first = lock_file.stat().st_mtime
        time.sleep(2.2)
        return first, lock_file.stat().st_mtime

    first, second = with_lock(expirations)
    assert second > first


@pytest.mark.parametrize("jump", [86400.0, -86400.0])
def test_a_clock_that_jumps_neither_frees_a_lock_in_use_nor_keeps_a_dead_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
):
    """A living owner renews every `RENEWAL` seconds; whoever waits sees the file change by its own monotonic clock."""
    lock, clock, passed = tmp_path / "lock", time.time() + jump, 0.0
    lock.touch()
    monkeypatch.setattr(repository.time, "time", lambda: clock + passed)
    monkeypatch.setattr(repository.time, "monotonic", lambda: passed)
    watch = repository._Watch()
    for step in range(40):  # 20 minutes
        passed = 30.0 * step
        if step % 2 == 0:
            moment = time.time_ns() + int(1e9 * (passed + repository.LIFETIME))
            os.utime(lock, ns=(moment, moment))
        assert not watch.is_abandoned(lock)
    began = passed
    while not watch.is_abandoned(lock):
        passed += 30.0
    assert passed - began <= repository.LIFETIME + repository.SLACK + 60


def test_two_processes_that_run_one_stage_run_it_once(project: Path):
    (project / "dvc.yaml").write_text(STAGE.format(command=f"echo x >> times && sleep 1 && {COPY}"))
    command = [sys.executable, "-m", "topokd.cli", "stage", "a"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    started = [subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.PIPE) for _ in range(3)]
    printed = b"".join(process.communicate(timeout=240)[0] for process in started)
    assert [process.returncode for process in started] == [0, 0, 0]
    assert (project / "times").read_text() == "x\n" and printed.count(b"didn't change, skipping") == 2


def crowd(number: int, patience: float, held: float) -> tuple[int, list[float]]:
    """Virtual seconds that each of ``number`` processes waits for a lock held ``held`` seconds each time; failures."""
    from dvc.lock import LockError

    scale = 1e-3  # one virtual second takes a millisecond
    lock, waited, failed = threading.Lock(), list[float](), list[str]()
    together = threading.Barrier(number)

    def acquire() -> None:
        if not lock.acquire(timeout=3 * scale):
            raise LockError("Unable to acquire lock")

    def process() -> None:
        together.wait()
        started = time.monotonic()
        try:
            acquire_patiently(
                acquire, patience, clock=lambda: time.monotonic() / scale, sleep=lambda s: time.sleep(s * scale)
            )
        except StageError as error:
            failed.append(str(error))
            return
        waited.append((time.monotonic() - started) / scale)
        time.sleep(held * scale)
        lock.release()

    threads = [threading.Thread(target=process) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(failed), waited


def test_two_hundred_stages_that_end_together_all_get_a_lock_that_is_held_five_seconds():
    failed, waited = crowd(200, PATIENCE, held=5.0)
    assert failed == 0 and len(waited) == 200
    assert max(waited) < PATIENCE / 2
    failed, _ = crowd(200, patience=75.0, held=5.0)  # what it was before
    assert failed > 50
