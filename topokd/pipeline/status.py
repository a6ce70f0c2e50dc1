"""How far a profile is: which stages are done, running or waiting, and how long they took or take."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from topokd.pipeline.progress import clock
from topokd.pipeline.repository import PIPELINE, acquire_patiently, open_repository
from topokd.pipeline.scheduler import read_stages
from topokd.project import project_path, project_root

State = Literal["done", "running", "ready", "waiting"]


@dataclass(frozen=True)
class StageStatus:
    """One stage.

    Args:
        address: as `topokd stages` lists it.
        state: done; running; ready (everything it needs is done); waiting for others.
        seconds: of a running stage since its start, of any other what its last run took; 0 if unknown.
    """

    address: str
    state: State
    seconds: float

    def line(self) -> str:
        """For the terminal."""
        about = {"done": "took", "running": "for", "ready": "takes about", "waiting": "takes about"}[self.state]
        return f"{self.state:8}{self.address:44}{f'{about} {clock(self.seconds)}' if self.seconds else ''}".rstrip()


def profile_status(profile: str) -> list[StageStatus]:
    """Status of each stage of a listed profile, in an order in which they can run.

    Stages that other terminals run count as running, too.
    """
    stages = read_stages(profile)
    changed = _changed_stages([stage.address for stage in stages])
    running = running_stages()
    done: set[str] = set()
    found = []
    for stage in stages:
        address = stage.address
        if address in running:
            found.append(StageStatus(address, "running", running[address]))
        elif address not in changed and stage.needs <= done:
            done.add(address)
            found.append(StageStatus(address, "done", stage.expected))
        else:
            found.append(StageStatus(address, "ready" if stage.needs <= done else "waiting", stage.expected))
    return found


def summary(found: list[StageStatus]) -> str:
    """Counts and the work left, in a line."""
    counts = [f"{sum(s.state == state for s in found)} {state}" for state in ("done", "running", "ready", "waiting")]
    left = sum(s.seconds for s in found if s.state in ("ready", "waiting"))
    return ", ".join(counts) + (f"; about {clock(left)} of work on one core left" if left else "")


def running_stages() -> dict[str, float]:
    """Seconds that each stage now running on this machine has run, by address: processes ``topokd stage ADDRESS``.

    Stages that SLURM runs on other machines are listed by ``topokd slurm status``.
    """
    found: dict[str, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
            here = os.path.samefile(folder / "cwd", project_root())
        except OSError:  # it has ended, or belongs to somebody else
            continue
        address = next((b for a, b in pairwise(words) if a in ("stage", "task") and "@" in b), "")
        seconds = _running_for(int(folder.name))
        if here and address and seconds is not None and "topokd" in " ".join(words[:4]):
            found[address] = max(seconds, found.get(address, 0.0))
    return found


def _changed_stages(addresses: list[str]) -> set[str]:
    """Those of the stages whose own dependencies, parameters or outputs differ from their last run."""
    changed: set[str] = set()

    def ask() -> None:
        with open_repository() as repo:
            targets = [f"{project_path(PIPELINE)}:{address}" for address in addresses]
            changed.update(name.rpartition(":")[2] for name in repo.status(targets=targets))

    acquire_patiently(ask, patience=60.0)
    return changed


def _running_for(pid: int) -> float | None:
    """Seconds since a process started; None if there is no such process any more."""
    try:
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        up = float(Path("/proc/uptime").read_text().split()[0])
        return max(0.0, up - int(started) / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return None
