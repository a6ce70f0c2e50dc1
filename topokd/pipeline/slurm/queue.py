"""The commands of SLURM: sbatch, squeue, scancel."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from topokd.errors import TopokdError

NEVER = ("DependencyNeverSatisfied", "JobHeldAdmin", "JobHeldUser", "launch failed requeued held")


class SlurmError(TopokdError):
    """A command of SLURM is missing or failed."""


@dataclass(frozen=True)
class Queued:
    """A task that squeue lists."""

    state: str  # RUNNING, PENDING, ...
    reason: str  # why it is pending
    node: str
    elapsed: str

    @property
    def never(self) -> bool:
        """Whether the task cannot start without an intervention."""
        return self.reason.strip("()") in NEVER


def run(command: str, *arguments: str) -> str:
    """Run a command of SLURM and return its output.

    Raises:
        SlurmError: the command is not installed, or failed; the message contains its error output.
    """
    if shutil.which(command) is None:
        raise SlurmError(
            f"the command {command} of SLURM is not on PATH: run this on a login node of the cluster; on one machine "
            "without SLURM use `topokd repro`"
        )
    done = subprocess.run([command, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise SlurmError(f"{command} {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def submit(arguments: Sequence[str]) -> str:
    """Submit a job; returns its number."""
    return run("sbatch", "--parsable", *arguments).strip().split(";")[0]


def my_tasks() -> dict[str, Queued]:
    """The user's tasks in the queue, by number: ``12_3`` for task 3 of array 12.

    Raises:
        SlurmError: squeue failed, or printed something else than it was asked for (a wrapper of the cluster, say):
            tasks that are already queued would be submitted again.
    """
    printed = run("squeue", "--me", "--array", "--noheader", "--format=%i|%T|%r|%N|%M").splitlines()
    lines = [line.strip() for line in printed if line.strip()]
    other = next((line for line in lines if line.count("|") < 4), None)
    if other is not None:
        raise SlurmError(
            f"squeue printed {other[:80]!r}, which is not NUMBER|STATE|REASON|NODE|TIME as asked by --format: which "
            "stages are already queued is not known; is squeue replaced by another program or an alias here?"
        )
    parts = [line.split("|") for line in lines]
    return {number: Queued(state, reason, node, elapsed) for number, state, reason, node, elapsed, *_ in parts}


def cancel(numbers: Iterable[str]) -> None:
    """Cancel tasks; training among them saves its state first."""
    numbers = sorted(set(numbers))
    if numbers:
        run("scancel", *numbers)
