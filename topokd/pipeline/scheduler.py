"""``dvc repro`` on all cores: a workaround for treeverse/dvc#755 (DVC runs the stages of a pipeline one by one).

`topokd.pipeline.stage` runs one stage while others run. `reproduce` reads the graph from DVC, starts each stage as soon
as its dependencies are done, as many at a time as there are cores, shows their progress with an estimate of the time
left, and ends with a plain ``dvc repro``, which confirms that nothing is left to do. Every run uses one thread, so the
results are bit-identical to those of a serial ``dvc repro``. Idle cores train ahead (`topokd.pipeline.ahead`). Once DVC
runs stages in parallel, this file can be removed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from topokd.pipeline.ahead import commands_ahead, next_ahead
from topokd.pipeline.graph import Stage, critical_paths, final_stages, is_up_to_date, read_stages
from topokd.pipeline.profiles import list_profile
from topokd.pipeline.progress import clock, last_report
from topokd.pipeline.repository import PATIENCE, StageError
from topokd.pipeline.stage import environment
from topokd.project import project_root, workspace_path
from topokd.stopping import INTERRUPTED, Interrupts, Stopped


def reproduce(profile: str = "default", jobs: int | None = None, force: bool = False) -> float:
    """Bring a profile's results up to date.

    Args:
        profile: name of the profile; it is added to params.yaml if it is not listed there.
        jobs: number of stages at a time; None for as many as there are cores.
        force: run every stage again.

    Returns:
        Seconds taken.

    Raises:
        StageError: a stage failed. Running stages finish first; run again to continue.
        Stopped: by Ctrl-C or SIGTERM, after training has saved its state.
        ParameterError: the profile does not exist.
    """
    jobs = jobs or os.cpu_count() or 1
    started = time.monotonic()
    if list_profile(profile):
        print(f"added {profile} to `profiles` in params.yaml: `dvc repro` runs it from now on", flush=True)
    logs = workspace_path(profile) / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="topokd-repro-") as folder:
        stages = read_stages(profile, Path(folder))
        targets = final_stages(stages)
        if not force and is_up_to_date(targets):
            print("every stage is up to date", flush=True)
        else:
            _run(stages, jobs, force, logs, started, commands_ahead(profile))
    _confirm(targets)
    return time.monotonic() - started


def _confirm(targets: list[str]) -> None:
    """Run a plain ``dvc repro``, which should find nothing to do; retried while another process holds DVC's lock."""
    command = [sys.executable, "-m", "dvc", "repro", "--quiet", *targets]
    deadline = time.monotonic() + PATIENCE
    while True:
        done = subprocess.run(command, cwd=project_root(), env=environment(), stderr=subprocess.PIPE, text=True)
        busy = "Unable to acquire lock" in done.stderr or "is busy, it is being blocked" in done.stderr
        if done.returncode == 0:
            return
        if not busy or time.monotonic() > deadline:
            raise StageError(f"the closing `dvc repro` failed:\n{done.stderr.strip()}")
        time.sleep(1.0)


def _run(stages: list[Stage], jobs: int, force: bool, logs: Path, started: float, ahead: dict[str, list[str]]) -> None:
    running: list[Stage] = []
    try:
        with Interrupts() as stop:
            _run_all(stages, running, jobs, force, logs, started, ahead, stop)
    except KeyboardInterrupt:
        for stage in running:
            if stage.process is not None:
                stage.process.kill()  # its child processes end with it
        raise Stopped("stopped at once; training will resume from its last saved state", INTERRUPTED) from None


def _stop(running: list[Stage]) -> None:
    print("stopping: training saves its state; Ctrl-C again ends everything at once", flush=True)
    for stage in running:
        if stage.process is not None:
            stage.process.terminate()


def _run_all(
    stages: list[Stage],
    running: list[Stage],
    jobs: int,
    force: bool,
    logs: Path,
    started: float,
    ahead: dict[str, list[str]],
    stop: Interrupts,
) -> None:
    """Start stages as they become ready, and the commands ``ahead`` (removed as they start) on idle cores.

    ``running`` lists the running stages, for the caller to stop them.
    """
    waiting, done, untaught = list(stages), set[str](), set(ahead)
    failed: list[Stage] = []
    shown, stopping = 0.0, False
    print(f"{len(stages)} stages on {jobs} cores", flush=True)
    while waiting or running:
        if stop.number and not stopping:
            stopping = True
            _stop(running)
        while not (failed or stopping) and (stage := next_stage(waiting, running, done, jobs, untaught)):
            _start(stage, stage_command(stage.address, force))
            waiting.remove(stage)
            running.append(stage)
        while not (failed or stopping) and (stage := next_ahead(waiting, running, done, jobs, ahead)):
            early = stage.ahead()
            _start(early, ahead.pop(stage.address))
            running.append(early)
        if (failed or stopping) and not running:
            break
        time.sleep(0.2)
        for stage in [s for s in running if s.process is not None and s.process.poll() is not None]:
            text = stage.log.read_text(encoding="utf-8", errors="replace")
            running.remove(stage)
            (logs / f"{stage.address}.log").write_text(text, encoding="utf-8")
            if stage.is_ahead:  # its stage resumes from the last state, even if this run failed
                print(f"{stage.address} has trained ahead: {clock(time.monotonic() - stage.started)}", flush=True)
                continue
            if stage.process.returncode != 0:  # type: ignore[union-attr]
                if stopping:
                    continue
                failed.append(stage)
                print(f"{stage.address} failed; waiting for the running stages", flush=True)
                continue
            done.add(stage.address)
            skipped = "didn't change, skipping" in text
            took = 0.0 if skipped else time.monotonic() - stage.started
            _update_estimates(stage, waiting, took)
            print(
                f"[{len(done)}/{len(stages)}] {stage.address}: {'up to date' if skipped else clock(took)}", flush=True
            )
        if time.monotonic() - shown > 15 and running:
            shown = time.monotonic()
            _show(waiting, running, jobs, started)
    if stopping and (waiting or len(done) < len(stages)):
        raise Stopped(f"stopped after {len(done)} of {len(stages)} stages; repeat the command to continue", stop.status)
    if failed:
        logs_of_failed = "\n".join(_message(stage) for stage in failed)
        raise StageError(f"{logs_of_failed}\nfix it and rerun: finished stages are kept and training resumes")


def _update_estimates(finished: Stage, waiting: list[Stage], seconds: float) -> None:
    """Expect the duration of a finished stage for stages of its group that have none from an earlier run."""
    for stage in waiting:
        if stage.group == finished.group and not stage.expected:
            stage.expected = seconds


def next_stage(
    waiting: list[Stage], running: list[Stage], done: set[str], jobs: int, untaught: Collection[str] = ()
) -> Stage | None:
    """The stage to start now, if any: that on the longest path; one that measures time only if no other is running.

    The first student of a seed computes what all rows need of the teacher (`topokd.training.TeacherOutputs`). Another
    student of that seed would compute it too if it ran beside it, so students of other seeds come first.

    Args:
        waiting: stages that have not started.
        running: stages that are running.
        done: addresses of finished stages.
        jobs: stages at a time.
        untaught: addresses of students without a teacher.
    """
    if len(running) >= jobs or any(stage.alone for stage in running):
        return None
    paths = critical_paths(waiting)
    busy = {stage.address for stage in running}  # trained ahead
    ready = [stage for stage in waiting if stage.needs <= done and stage.address not in busy]
    seeds = [{_seed_taught(address, untaught) for address in of} for of in (busy, done)]
    first = seeds[0] - seeds[1] - {None}
    ready.sort(  # stable: ties in the order of the pipeline
        key=lambda stage: (stage.alone, _seed_taught(stage.address, untaught) in first, -paths[stage.address])
    )
    return ready[0] if ready and not (ready[0].alone and running) else None


def _seed_taught(address: str, untaught: Collection[str]) -> str | None:
    """The seed of a student that has a teacher; None for any other stage."""
    return address.rpartition("-")[2] if address.startswith("student@") and address not in untaught else None


def _start(stage: Stage, command: Sequence[str]) -> None:
    stage.started = time.monotonic()
    with stage.log.open("wb") as log:
        stage.process = subprocess.Popen(
            command, cwd=project_root(),
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            env={**environment(), "TOPOKD_PROGRESS": str(stage.progress)},
        )  # fmt: skip


def _show(waiting: list[Stage], running: list[Stage], jobs: int, started: float) -> None:
    now, parts = time.monotonic(), []
    left = sum(stage.expected for stage in waiting)
    running = [stage for stage in running if not stage.is_ahead]
    for stage in running:
        report: dict[str, Any] | None = last_report(stage.progress)
        elapsed = now - stage.started
        if report and report["done"]:
            text = f"{stage.address} {report['task']} {report['done']}/{report['total']} {report['note']}"
            parts.append(text.strip())
        elif report and not report["total"]:
            parts.append(f"{stage.address} {report['task']}")
        else:
            parts.append(f"{stage.address} {clock(elapsed)}")
        left += max(stage.expected - elapsed, 0.0)
    unknown = sum(not stage.expected for stage in [*waiting, *running])
    estimate = f"about {clock(left / jobs)} left" if left else "no estimate yet"
    estimate += f" and {unknown} stages of unknown length" if left and unknown else ""
    print(f"  {clock(now - started)} · {' | '.join(parts)} · {estimate}", flush=True)


def _message(stage: Stage) -> str:
    lines = [line for line in stage.log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"{stage.address} failed:\n" + "\n".join(f"    {line}" for line in lines[-12:])


def stage_command(address: str, force: bool = False) -> list[str]:
    """The command that runs one stage in a separate process: ``topokd stage ADDRESS [--force]``."""
    return [sys.executable, "-m", "topokd.cli", "stage", address, *(["--force"] if force else [])]
