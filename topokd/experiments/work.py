"""Experiments of many training runs: any number of workers, each of which takes the next free unit."""

from __future__ import annotations

import contextlib
import fcntl
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable


@runtime_checkable
class Named(Protocol):
    """A unit of work; its name is that of its record."""

    @property
    def name(self) -> str: ...  # noqa: D102


U = TypeVar("U", bound=Named)


class Experiment(ABC, Generic[U]):
    """An experiment on disk: ``<folder>/<unit>.json`` is there exactly if the unit is done.

    A unit is locked while it runs, by a lock that the system drops when its process ends in any way; training itself
    resumes from its last state. So workers may be started, killed and added at any time, on one machine or on several
    with a common file system that has POSIX locks.

    Args:
        units: in an order in which they can run.
        folder: of the records, in git.
        locks: folder of the locks, not in git.
    """

    def __init__(self, units: Sequence[U], folder: Path, locks: Path) -> None:
        self.units, self.folder, self.locks = list(units), folder, locks

    @abstractmethod
    def run(self, unit: U) -> dict[str, Any]:
        """Do one unit and write its record last, atomically."""

    @abstractmethod
    def needs(self, unit: U) -> Sequence[U]:
        """The units that must be done before ``unit``."""

    def file(self, unit: U) -> Path:
        """The record of a unit."""
        return self.folder / f"{unit.name}.json"

    def is_done(self, unit: U) -> bool:
        """Whether its record is there."""
        return self.file(unit).is_file()

    def status(self) -> str:
        """A line per unit, for a terminal."""
        return "".join(f"{'done' if self.is_done(unit) else '-':5s}{unit.name}\n" for unit in self.units)

    def work(self, poll: float = 30.0) -> int:
        """Run units until all are done; returns how many this worker ran.

        Args:
            poll: seconds to wait while everything that is ready is taken by others.
        """
        ran = 0
        while missing := [unit for unit in self.units if not self.is_done(unit)]:
            ready = [unit for unit in missing if all(self.is_done(other) for other in self.needs(unit))]
            for unit in ready:
                with self.lock(unit.name) as mine:
                    if mine and not self.is_done(unit):
                        self.run(unit)
                        ran += 1
                        break
            else:
                time.sleep(poll)
        return ran

    @contextlib.contextmanager
    def lock(self, name: str, wait: bool = False) -> Iterator[bool]:
        """Hold the lock ``name`` inside the block; yields whether it was free.

        Args:
            name: of a unit, or of anything else that one process may do at a time.
            wait: until it is free.
        """
        file = self.locks / f"{name}.lock"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
