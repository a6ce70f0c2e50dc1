"""``dvc repro`` on all cores: a workaround for treeverse/dvc#755 (DVC runs the stages of a pipeline one by one).

`topokd.pipeline.stage` runs one stage while others run. `reproduce` reads the graph from DVC, starts each stage as soon
as its dependencies are done, as many at a time as there are cores, shows their progress with an estimate of the
time left, and ends with a plain ``dvc repro``, which confirms that nothing is left to do. Every run uses one thread, so
the results are those of a serial ``dvc repro``, bit for bit. When DVC can do this itself, this file can go.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topokd.errors import DataError, ParameterError
from topokd.io import read_json
from topokd.pipeline.profiles import list_profile, listed_profiles
from topokd.pipeline.progress import clock, last_report
from topokd.pipeline.repository import PIPELINE, StageError, open_repository
from topokd.pipeline.stage import environment
from topokd.project import project_path, project_root, results_path, workspace_path


@dataclass
class Stage:
    """One node of the pipeline's graph."""

    address: str  # as `dvc repro` takes it: student@default-full-0
    needs: set[str]
    expected: float  # seconds it took when its committed results were made; 0: unknown
    alone: bool  # it measures time: nothing else may run meanwhile
    log: Path
    progress: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0

    @property
    def group(self) -> str:
        """The address without the matrix item: stages of one group do the same kind of work."""
        return self.address.split("@")[0]


def read_stages(profile: str, folder: Path = Path()) -> list[Stage]:
    """The stages of a listed profile, in an order in which they can run.

    Args:
        profile: its name.
        folder: for the log and progress file of each stage.

    Raises:
        ParameterError: params.yaml does not list the profile.
        StageError: DVC cannot read the pipeline.
    """
    import networkx

    if profile not in listed_profiles():
        raise ParameterError(
            f"params.yaml does not list the profile {profile!r} under `profiles`: "
            f"`topokd repro --profile {profile}` adds it"
        )
    with open_repository() as repo:
        graph = repo.index.graph
        order = [stage for stage in networkx.topological_sort(graph.reverse(copy=True)) if _profile(stage) == profile]
        return [
            Stage(
                address=stage.name,
                needs={needed.name for needed in graph.successors(stage)},
                expected=_expected(profile, [Path(out.fs_path).stem for out in stage.outs if ".ipynb" in out.fs_path]),
                alone=any("/timings/" in out.fs_path for out in stage.outs),
                log=folder / f"{index}.log",
                progress=folder / f"{index}.jsonl",
            )
            for index, stage in enumerate(order)
        ]


def final_stages(stages: list[Stage]) -> list[str]:
    """Addresses of the stages that no other one needs; ``dvc repro`` of these runs everything."""
    needed = set().union(*(stage.needs for stage in stages))
    return [stage.address for stage in stages if stage.address not in needed]


def unfinished(stages: Iterable[Stage]) -> list[str]:
    """Addresses of the stages whose results are missing or out of date, or that need such a stage.

    Does not take DVC's lock, so that stages can run meanwhile.

    Args:
        stages: in an order in which they can run, as `read_stages` returns them.
    """
    with open_repository() as repo:
        by_address = {stage.name: stage for stage in repo.index.stages if getattr(stage, "name", None)}
        left: list[str] = []
        for stage in stages:
            entry = by_address[stage.address]
            changed = entry.changed_stage() or any(item.status() for item in [*entry.deps, *entry.outs])
            if changed or stage.needs & set(left):
                left.append(stage.address)
        return left


def is_up_to_date(targets: list[str]) -> bool:
    """Whether the targets and everything they depend on are done, asked once for all of them.

    False also where another DVC process holds the lock: the stages wait for it one by one. Stages that DVC runs every
    time (the fingerprint of real scans) count as not done.
    """
    from dvc.lock import LockError

    addresses = [f"{project_path(PIPELINE)}:{target}" for target in targets]  # found from any working directory
    with open_repository() as repo:
        try:
            return not repo.status(targets=addresses, with_deps=True)
        except LockError:
            return False


def _profile(stage: Any) -> str | None:
    """The profile that a stage belongs to: the second folder of its outputs, as in ``results/<profile>/``."""
    for out in stage.outs:
        parts = Path(os.path.relpath(out.fs_path, project_root())).parts
        if len(parts) > 2:
            return parts[1]
    return None


def _expected(profile: str, notebooks: list[str]) -> float:
    try:
        return float(read_json(results_path(profile) / "provenance" / f"{notebooks[0]}.json")["seconds"])
    except (DataError, IndexError, KeyError, TypeError, ValueError):
        return 0.0


def reproduce(profile: str = "default", jobs: int | None = None, force: bool = False) -> float:
    """Bring a profile's results up to date.

    Args:
        profile: its name; params.yaml lists it afterwards.
        jobs: stages at a time; None for as many as there are cores.
        force: run every stage again.

    Returns:
        Seconds taken.

    Raises:
        StageError: a stage failed. Running stages finish first; run again to continue.
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
            _run(stages, jobs, force, logs, started)
    command = [sys.executable, "-m", "dvc", "repro", "--quiet", *targets]
    if subprocess.run(command, cwd=project_root(), env=environment()).returncode != 0:
        raise StageError("the closing `dvc repro` failed; see its messages above")
    return time.monotonic() - started


def _run(stages: list[Stage], jobs: int, force: bool, logs: Path, started: float) -> None:
    waiting, done = list(stages), set[str]()
    running: list[Stage] = []
    failed: list[Stage] = []
    shown = 0.0
    print(f"{len(stages)} stages on {jobs} cores", flush=True)
    while waiting or running:
        while not failed and (stage := _next(waiting, running, done, jobs)):
            _start(stage, force)
            waiting.remove(stage)
            running.append(stage)
        if failed and not running:
            break
        time.sleep(0.2)
        for stage in [s for s in running if s.process is not None and s.process.poll() is not None]:
            text = stage.log.read_text(encoding="utf-8", errors="replace")
            running.remove(stage)
            (logs / f"{stage.address}.log").write_text(text, encoding="utf-8")
            if stage.process.returncode != 0:  # type: ignore[union-attr]
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
    if failed:
        logs_of_failed = "\n".join(_message(stage) for stage in failed)
        raise StageError(f"{logs_of_failed}\nfix it and rerun: finished stages are kept and training resumes")


def _update_estimates(finished: Stage, waiting: list[Stage], seconds: float) -> None:
    """Without a duration from an earlier run, expect that of a finished stage of the same group."""
    for stage in waiting:
        if stage.group == finished.group and not stage.expected:
            stage.expected = seconds


def _next(waiting: list[Stage], running: list[Stage], done: set[str], jobs: int) -> Stage | None:
    """The stage to start now, if any: that with the longest way to the end; those that measure time when none runs."""
    if len(running) >= jobs or any(stage.alone for stage in running):
        return None
    ways = longest_ways(waiting)
    ready = [stage for stage in waiting if stage.needs <= done]
    ready.sort(key=lambda stage: (stage.alone, -ways[stage.address]))  # stable: equals in the order of the pipeline
    return ready[0] if ready and not (ready[0].alone and running) else None


def longest_ways(stages: Iterable[Stage]) -> dict[str, float]:
    """Seconds from the start of each stage to the end of everything that waits for it, with a core for every stage.

    w(stage) = expected(stage) + max over stages that need it of w: the time that is lost if it starts late.

    Args:
        stages: in an order in which they can run.

    Examples:
        >>> teacher = Stage("teacher", set(), 600.0, False, Path(), Path())
        >>> student = Stage("student", {"teacher"}, 90.0, False, Path(), Path())
        >>> longest_ways([teacher, student, Stage("panel", set(), 120.0, False, Path(), Path())])
        {'panel': 120.0, 'student': 90.0, 'teacher': 690.0}
    """
    ways: dict[str, float] = {}
    after: dict[str, float] = {}  # the longest way of the stages that need one
    for stage in reversed(list(stages)):
        ways[stage.address] = stage.expected + after.get(stage.address, 0.0)
        for needed in stage.needs:
            after[needed] = max(after.get(needed, 0.0), ways[stage.address])
    return ways


def _start(stage: Stage, force: bool) -> None:
    stage.started = time.monotonic()
    with stage.log.open("wb") as log:
        stage.process = subprocess.Popen(
            stage_command(stage.address, force), cwd=project_root(),
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            env={**environment(), "TOPOKD_PROGRESS": str(stage.progress)},
        )  # fmt: skip


def _show(waiting: list[Stage], running: list[Stage], jobs: int, started: float) -> None:
    now, parts = time.monotonic(), []
    left = sum(stage.expected for stage in waiting)
    for stage in running:
        report: dict[str, Any] | None = last_report(stage.progress)
        elapsed = now - stage.started
        if report and report["done"]:
            text = f"{stage.address} {report['task']} {report['done']}/{report['total']} {report['note']}"
            parts.append(text.strip())
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
