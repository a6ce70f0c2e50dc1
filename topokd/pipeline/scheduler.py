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
            _Schedule(stages, jobs, force, logs, started, commands_ahead(profile)).run()
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


class _Schedule:
    """One call of `reproduce`: which stages wait, run, are done and have failed.

    Args:
        stages: all stages of the profile, in an order in which they can run.
        jobs: stages at a time.
        force: run stages that are up to date, too.
        logs: folder for the log of each stage.
        started: when `reproduce` was called, by the monotonic clock.
        ahead: commands that train ahead on idle cores, by address of the stage; removed as they start.
    """

    def __init__(
        self, stages: list[Stage], jobs: int, force: bool, logs: Path, started: float, ahead: dict[str, list[str]]
    ) -> None:
        self.stages, self.jobs, self.force, self.logs, self.started, self.ahead = (
            stages, jobs, force, logs, started, ahead,
        )  # fmt: skip
        self.untaught = set(ahead)
        self.waiting, self.running, self.failed = list(stages), list[Stage](), list[Stage]()
        self.done = set[str]()
        self.stopping = False

    def run(self) -> None:
        """Run every stage.

        Raises:
            StageError: a stage failed.
            Stopped: by a signal; at once after the second one.
        """
        try:
            with Interrupts() as stop:
                self._run(stop)
        except KeyboardInterrupt:
            for stage in self.running:
                if stage.process is not None:
                    stage.process.kill()  # its child processes end with it
            raise Stopped("stopped at once; training will resume from its last saved state", INTERRUPTED) from None
        done, total = len(self.done), len(self.stages)
        if self.stopping and done < total:
            raise Stopped(f"stopped after {done} of {total} stages; repeat the command to continue", stop.status)
        if self.failed:
            logs = "\n".join(_message(stage) for stage in self.failed)
            raise StageError(f"{logs}\nfix it and rerun: finished stages are kept and training resumes")

    def _run(self, stop: Interrupts) -> None:
        """Start stages until all have run, one has failed or a signal has come; then wait for the running ones."""
        shown = 0.0
        print(f"{len(self.stages)} stages on {self.jobs} cores", flush=True)
        while self.waiting or self.running:
            if stop.number and not self.stopping:
                self._stop()
            if not (self.failed or self.stopping):
                self._start_stages()
            elif not self.running:
                return
            time.sleep(0.2)
            for stage in [s for s in self.running if s.process is not None and s.process.poll() is not None]:
                self._finish(stage)
            if time.monotonic() - shown > 15 and self.running:
                shown = time.monotonic()
                _show(self.waiting, self.running, self.jobs, self.started)

    def _stop(self) -> None:
        self.stopping = True
        print("stopping: training saves its state; Ctrl-C again ends everything at once", flush=True)
        for stage in self.running:
            if stage.process is not None:
                stage.process.terminate()

    def _start_stages(self) -> None:
        """Start the stages that are ready, then runs ahead of stages, as long as there are idle cores."""
        while stage := next_stage(self.waiting, self.running, self.done, self.jobs, self.untaught):
            _start(stage, stage_command(stage.address, self.force))
            self.waiting.remove(stage)
            self.running.append(stage)
        while stage := next_ahead(self.waiting, self.running, self.done, self.jobs, self.ahead):
            early = stage.ahead()
            _start(early, self.ahead.pop(stage.address))
            self.running.append(early)

    def _finish(self, stage: Stage) -> None:
        """Keep the log of a stage that has ended, and note whether it is done."""
        assert stage.process is not None
        text = stage.log.read_text(encoding="utf-8", errors="replace")
        self.running.remove(stage)
        (self.logs / f"{stage.address}.log").write_text(text, encoding="utf-8")
        took = time.monotonic() - stage.started
        if stage.is_ahead:  # its stage resumes from the last state, even if this run failed
            print(f"{stage.address} has trained ahead: {clock(took)}", flush=True)
        elif stage.process.returncode == 0:
            self.done.add(stage.address)
            skipped = "didn't change, skipping" in text
            _update_estimates(stage, self.waiting, 0.0 if skipped else took)
            counted = f"[{len(self.done)}/{len(self.stages)}]"
            print(f"{counted} {stage.address}: {'up to date' if skipped else clock(took)}", flush=True)
        elif not self.stopping:
            self.failed.append(stage)
            print(f"{stage.address} failed; waiting for the running stages", flush=True)


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
