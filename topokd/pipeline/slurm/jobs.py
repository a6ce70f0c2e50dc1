"""The jobs of a profile: their numbers and logs, and how each task ended.

SLURM forgets a job minutes after its end unless the cluster has accounting, so each task writes its outcome next to its
log. All files are in ``workspace/<profile>/slurm/``.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topokd.errors import DataError, TopokdError
from topokd.io import read_json, write_json
from topokd.locks import locked
from topokd.pipeline.slurm.queue import Queued
from topokd.project import workspace_path


def folder(profile: str) -> Path:
    """``workspace/<profile>/slurm``."""
    return workspace_path(profile) / "slurm"


def log_file(profile: str, kind: str, job: str) -> Path:
    """Log of task ``job`` (``12_3``), with all its attempts one after another."""
    return folder(profile) / "logs" / f"{kind}-{job}.log"


def read_jobs(profile: str) -> dict[str, str]:
    """Number of the last task of each stage: ``{"teacher@default-0": "12_0"}``."""
    return _read(folder(profile) / "jobs.json")


def write_jobs(profile: str, jobs: Mapping[str, str]) -> None:
    """Write the numbers that `read_jobs` returns."""
    write_json(folder(profile) / "jobs.json", dict(jobs))


@contextlib.contextmanager
def only_submission(profile: str) -> Iterator[None]:
    """A lock that lets one submission of a profile run at a time.

    Raises:
        TopokdError: another one is running.
    """
    file = folder(profile) / "submitting"
    with locked(file) as free:
        if not free:
            raise TopokdError(f"another submission of {profile} is running (it holds {file})")
        yield


@dataclass(frozen=True)
class Outcome:
    """State of a task when it started or ended."""

    job: str
    state: str  # running, done, failed, stopped
    status: int | None  # exit status
    node: str
    attempt: int


def write_outcome(profile: str, address: str, state: str, status: int | None = None) -> None:
    """Record the state of this job's stage; called by the task."""
    outcome = Outcome(this_job(), state, status, socket.gethostname(), attempt())
    write_json(folder(profile) / "outcomes" / f"{address}.json", vars(outcome) | {"time": time.strftime("%F %T")})


def read_outcome(profile: str, address: str, job: str) -> Outcome | None:
    """The state of task ``job`` of a stage; None if it never started."""
    values = _read(folder(profile) / "outcomes" / f"{address}.json")
    if values.get("job") != job or not set(Outcome.__dataclass_fields__) <= set(values):
        return None
    return Outcome(**{name: values[name] for name in Outcome.__dataclass_fields__})


def this_job() -> str:
    """``12_3``: the task in which this process runs; empty outside SLURM."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", "")


def attempt() -> int:
    """Number of the attempt: 1, and one more after each requeue."""
    return 1 + int(os.environ.get("SLURM_RESTART_COUNT") or 0)


def describe(profile: str, address: str, finished: bool, job: str | None, queued: Queued | None) -> str:
    """One line about a stage: done, running (and where), pending (and why), or failed (and the path of its log).

    Args:
        profile: name of the profile.
        address: the stage, such as ``teacher@default-0``.
        finished: whether its results are there and current.
        job: number of its last task (``12_3``); None if it was not submitted.
        queued: what squeue says about that task; None if it is not in the queue.
    """
    kind = address.split("@")[0]
    if queued is not None and job is not None:
        if queued.state == "PENDING":
            advice = "; `topokd slurm resume` submits it again" if queued.never else ""
            return f"pending (job {job}: {queued.reason}{advice})"
        return f"{queued.state.lower()} (job {job} on {queued.node}, {queued.elapsed}) {_last_line(profile, kind, job)}"
    if finished:
        return "done"
    if job is None:
        return "not submitted"
    outcome, log = read_outcome(profile, address, job), log_file(profile, kind, job)
    if outcome is None:
        return f"not run (job {job} left the queue: cancelled, or a stage that it needs failed)"
    if outcome.state == "done":
        return f"out of date since job {job}"
    if outcome.state == "running":
        return f"ended without a message (job {job} on {outcome.node}: time limit, memory or node failure), see {log}"
    status = "" if outcome.status is None else f" with status {outcome.status}"
    return f"{outcome.state}{status} (job {job} on {outcome.node}), see {log}"


def _last_line(profile: str, kind: str, job: str) -> str:
    with contextlib.suppress(OSError):
        lines = log_file(profile, kind, job).read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.strip()[:100] for line in reversed(lines) if line.strip()), "")
    return ""


def _read(file: Path) -> dict[str, Any]:
    try:
        jobs = read_json(file) if file.exists() else {}
        return jobs if isinstance(jobs, dict) else {}
    except DataError:  # the file only serves the display: a damaged one must not stop anything
        return {}
