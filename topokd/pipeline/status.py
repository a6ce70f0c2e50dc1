"""How far a profile is: which stages are done, running or waiting, and how long they took or take."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from topokd.pipeline.progress import clock
from topokd.pipeline.scheduler import read_stages, stages_to_run
from topokd.project import project_path

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

    What runs is read from DVC's record of locked files, so that stages of other terminals and SLURM tasks count too.
    """
    stages = read_stages(profile)
    changed = stages_to_run([stage.address for stage in stages])
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
    """Seconds that each stage now running has run, by address, from ``.dvc/tmp/rwlock``; a stale lock does not count."""
    try:
        locks: dict[str, Any] = json.loads(project_path(".dvc/tmp/rwlock").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    writers = [lock["write"] for lock in locks.values() if isinstance(lock.get("write"), dict)]
    found = {}
    for writer in writers:
        words = str(writer.get("cmd", "")).split()
        address = next((word.rpartition(":")[2] for word in words if "@" in word), "")
        seconds = _running_for(int(writer.get("pid", -1)))
        if address and seconds is not None:
            found[address] = seconds
    return found


def _running_for(pid: int) -> float | None:
    """Seconds since a process started; None if there is no such process here."""
    try:
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        up = float(Path("/proc/uptime").read_text().split()[0])
        return max(0.0, up - int(started) / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        try:
            os.kill(pid, 0)
        except OSError:
            return None
        return 0.0
