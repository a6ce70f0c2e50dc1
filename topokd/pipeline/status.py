"""Status of a profile: which stages are done, running, ready or waiting, and their times."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from topokd.pipeline.graph import read_progress
from topokd.pipeline.progress import clock
from topokd.project import project_root

State = Literal["done", "running", "ready", "waiting"]


@dataclass(frozen=True)
class StageStatus:
    """One stage.

    Args:
        address: address of the stage, as `topokd stages` lists it.
        state: done; running; ready (everything it needs is done); waiting for others.
        seconds: time since the start of a running stage, duration of the last run of any other; 0 if unknown.
    """

    address: str
    state: State
    seconds: float

    def line(self) -> str:
        """A line for the terminal."""
        about = {"done": "took", "running": "for", "ready": "takes about", "waiting": "takes about"}[self.state]
        return f"{self.state:8}{self.address:44}{f'{about} {clock(self.seconds)}' if self.seconds else ''}".rstrip()


def profile_status(profile: str) -> list[StageStatus]:
    """Status of each stage of a profile, in an order in which they can run.

    Stages that were started from other terminals count as running.

    Args:
        profile: its name; params.yaml need not list it, and stays as it is.

    Raises:
        ParameterError: there is no such profile.
        StageError: DVC cannot read the pipeline.
    """
    running = running_stages()  # before the others: a stage that ends meanwhile does not become ready
    stages, unfinished = read_progress(profile)
    left = {*unfinished, *running}
    statuses = []
    for stage in stages:
        address = stage.address
        if address in running:
            statuses.append(StageStatus(address, "running", running[address]))
        elif address not in left:
            statuses.append(StageStatus(address, "done", stage.expected))
        else:
            statuses.append(StageStatus(address, "waiting" if stage.needs & left else "ready", stage.expected))
    return statuses


def summary(statuses: list[StageStatus]) -> str:
    """One line: the number of stages in each state, and the work left."""
    counts = [f"{sum(s.state == state for s in statuses)} {state}" for state in ("done", "running", "ready", "waiting")]
    left = sum(s.seconds for s in statuses if s.state in ("ready", "waiting"))
    return ", ".join(counts) + (f"; about {clock(left)} of work on one core left" if left else "")


def running_stages() -> dict[str, float]:
    """Seconds since the start of each stage that a process ``topokd stage ADDRESS`` runs on this machine.

    Stages that SLURM runs are listed by ``topokd slurm status``.
    """
    running: dict[str, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
            here = os.path.samefile(folder / "cwd", project_root())
        except OSError:  # it has ended, or belongs to another user
            continue
        address = next((b for a, b in pairwise(words) if a == "stage" and "@" in b), "")
        seconds = _running_for(int(folder.name))
        if here and address and seconds is not None and "topokd" in " ".join(words[:4]):
            running[address] = max(seconds, running.get(address, 0.0))
    return running


def _running_for(pid: int) -> float | None:
    """Seconds since a process started; None if it has ended."""
    try:
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        up = float(Path("/proc/uptime").read_text().split()[0])
        return max(0.0, up - int(started) / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return None
