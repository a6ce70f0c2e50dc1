"""``dvc repro`` on all cores.

DVC runs the stages of a pipeline one after another; only ``dvc repro -s <stage>`` started by hand runs beside another.
:func:`reproduce` does that: it reads the pipeline's graph from DVC, starts every stage whose dependencies are done,
as many at a time as there are cores, shows what they report with an estimate of the time left, and ends with a plain
``dvc repro`` that confirms that nothing is left to do. Each run takes one thread, so the results are those of a serial
``dvc repro``, bit for bit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topokd import project
from topokd.errors import DataError, ParameterError, TopokdError
from topokd.io import read_json
from topokd.pipeline.progress import clock, last_report
from topokd.pipeline.stage import stage_command, stage_environment


class StageError(TopokdError):
    """A stage failed; the message holds the end of its log."""


@dataclass
class Stage:
    """One node of the pipeline's graph."""

    address: str  # as `dvc repro -s` takes it
    needs: set[str]
    expected: float  # seconds it took when its committed results were made; 0 unknown
    alone: bool  # it measures time: nothing runs beside it
    log: Path
    progress: Path
    process: subprocess.Popen[bytes] | None = None
    begun: float = 0.0

    @property
    def name(self) -> str:
        """The address without the pipeline's file: ``student@full-0``."""
        return self.address.split(":")[-1]

    @property
    def level(self) -> str:
        """The address without the matrix item: stages of one level do the same kind of work."""
        return self.address.split("@")[0]


def pipeline_file(profile: str) -> str:
    """The dvc.yaml of a profile. Raises :class:`ParameterError` when there is no such profile."""
    if profile == "default":
        return "dvc.yaml"
    file = f"conf/{profile}/dvc.yaml"
    if not project.project_path(file).exists():
        known = sorted(p.parent.name for p in project.project_path("conf").glob("*/dvc.yaml"))
        raise ParameterError(f"there is no profile {profile!r} ({file} is missing); known: default, {', '.join(known)}")
    return file


def read_stages(profile: str, folder: Path = Path()) -> list[Stage]:
    """The stages of a profile and of what it depends on, in an order in which they can run."""
    import networkx
    from dvc.repo import Repo

    file = pipeline_file(profile)
    with Repo(str(project.project_root())) as repo:
        graph = repo.index.graph
        wanted = {stage for stage in graph if stage.path_in_repo == file}
        wanted |= {needed for stage in wanted for needed in networkx.descendants(graph, stage)}
        order = [stage for stage in networkx.topological_sort(graph.reverse(copy=True)) if stage in wanted]
        stages = []
        for index, stage in enumerate(order):
            notebooks = [Path(out.fs_path).stem for out in stage.outs if out.fs_path.endswith(".ipynb")]
            stages.append(
                Stage(
                    address=stage.addressing,
                    needs={needed.addressing for needed in graph.successors(stage)},
                    expected=_expected(profile, notebooks[0]) if notebooks else 0.0,
                    alone=any("/timings/" in out.fs_path for out in stage.outs),
                    log=folder / f"{index}.log",
                    progress=folder / f"{index}.jsonl",
                )
            )
    return stages


def is_up_to_date(profile: str) -> bool:
    """Whether neither a stage of a profile nor one that it depends on has work to do: asked once for all of them.

    False also where another DVC holds the project's lock: the stages, asked one by one, wait for it.
    """
    from dvc.lock import LockError
    from dvc.repo import Repo

    with Repo(str(project.project_root())) as repo:
        try:
            return not repo.status(targets=[pipeline_file(profile)], with_deps=True)
        except LockError:
            return False


def _expected(profile: str, notebook: str) -> float:
    try:
        return float(read_json(project.results_path(profile) / "provenance" / f"{notebook}.json")["seconds"])
    except (DataError, KeyError, TypeError, ValueError):
        return 0.0


def reproduce(profile: str = "default", jobs: int | None = None, force: bool = False) -> float:
    """Bring a profile's results up to date on ``jobs`` cores (all of them when None); returns seconds.

    Raises:
        StageError: a stage failed. The stages that were running are let to their end, nothing is lost: start again.
        ParameterError: there is no such profile.
    """
    jobs = jobs or os.cpu_count() or 1
    begun = time.monotonic()
    if not force and is_up_to_date(profile):
        print("every stage is up to date", flush=True)
    else:
        logs = project.project_path("workspace") / profile / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="topokd-repro-") as folder:
            stages = read_stages(profile, Path(folder))
            _run(stages, jobs, force, logs, begun)
    command = [sys.executable, "-m", "dvc", "repro", "--quiet", pipeline_file(profile)]
    if subprocess.run(command, cwd=project.project_root(), env=stage_environment()).returncode != 0:
        raise StageError("the closing `dvc repro` failed; its messages stand above")
    return time.monotonic() - begun


def _run(stages: list[Stage], jobs: int, force: bool, logs: Path, begun: float) -> None:
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
            (logs / f"{stage.address.replace('/', '_').replace(':', '_')}.log").write_text(text, encoding="utf-8")
            if stage.process.returncode != 0:  # type: ignore[union-attr]
                failed.append(stage)
                print(f"{stage.name} failed; waiting for what is running", flush=True)
                continue
            done.add(stage.address)
            skipped = "didn't change, skipping" in text
            _learn(stage, waiting, 0.0 if skipped else time.monotonic() - stage.begun)
            took = "up to date" if skipped else clock(time.monotonic() - stage.begun)
            print(f"[{len(done)}/{len(stages)}] {stage.name}: {took}", flush=True)
        if time.monotonic() - shown > 15 and running:
            shown = time.monotonic()
            _show(waiting, running, jobs, begun)
    if failed:
        tail = "\n".join(_message(stage) for stage in failed)
        raise StageError(f"{tail}\nmend it and start again: finished stages are kept, training resumes where it was")


def _learn(finished: Stage, waiting: list[Stage], seconds: float) -> None:
    """Expect of the waiting stages of the same kind what the finished one took, where no earlier run tells."""
    for stage in waiting:
        if stage.level == finished.level and not stage.expected:
            stage.expected = seconds


def _next(waiting: list[Stage], running: list[Stage], done: set[str], jobs: int) -> Stage | None:
    """The stage to start now, if any; stages that measure time wait until nothing else can run."""
    if len(running) >= jobs or any(stage.alone for stage in running):
        return None
    ready = sorted((stage for stage in waiting if stage.needs <= done), key=lambda stage: stage.alone)
    return ready[0] if ready and not (ready[0].alone and running) else None


def _start(stage: Stage, force: bool) -> None:
    stage.begun = time.monotonic()
    with stage.log.open("wb") as log:
        stage.process = subprocess.Popen(
            stage_command(stage.address, force), cwd=project.project_root(),
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            env={**stage_environment(), "TOPOKD_PROGRESS": str(stage.progress)},
        )  # fmt: skip


def _show(waiting: list[Stage], running: list[Stage], jobs: int, begun: float) -> None:
    now, parts = time.monotonic(), []
    left = sum(stage.expected for stage in waiting)
    for stage in running:
        report: dict[str, Any] | None = last_report(stage.progress)
        elapsed = now - stage.begun
        if report and report["done"]:
            parts.append(f"{stage.name} {report['task']} {report['done']}/{report['total']} {report['note']}".strip())
        else:
            parts.append(f"{stage.name} {clock(elapsed)}")
        left += max(stage.expected - elapsed, 0.0)
    unknown = sum(not stage.expected for stage in [*waiting, *running])
    estimate = f"about {clock(left / jobs)} left" if left else "no estimate yet"
    estimate += f" and {unknown} stages of unknown length" if left and unknown else ""
    print(f"  {clock(now - begun)} · {' | '.join(parts)} · {estimate}", flush=True)


def _message(stage: Stage) -> str:
    lines = [line for line in stage.log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"{stage.name} failed:\n" + "\n".join(f"    {line}" for line in lines[-12:])
