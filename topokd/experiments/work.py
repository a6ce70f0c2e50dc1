"""Experiments with many training runs, by any number of workers, each of which takes the next free unit.

`run_command` gives an experiment its subcommands ``work``, ``status`` and ``answer``.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from topokd.errors import DataError, TopokdError, TrainingError
from topokd.io import read_json, write_json
from topokd.locks import locked
from topokd.params import Params
from topokd.scans import SYNTHETIC, write_world

log = logging.getLogger(__name__)


@runtime_checkable
class Named(Protocol):
    """A unit of work; its name is that of its record."""

    @property
    def name(self) -> str: ...  # noqa: D102


U = TypeVar("U", bound=Named)


class Experiment(ABC, Generic[U]):
    """An experiment on disk; a unit is done when ``<folder>/<unit>.json`` exists.

    A unit is locked while it runs, by a lock that the system releases when the process ends for any reason, and
    training resumes from its last state. So workers can be started, killed and added at any time, on one machine or on
    several with a shared file system that supports POSIX locks.

    Args:
        units: all units, in an order in which they can run.
        folder: folder of the records, in git.
        locks: folder of the locks, not in git.
    """

    def __init__(self, units: Sequence[U], folder: Path, locks: Path) -> None:
        self.units, self.folder, self.locks = list(units), folder, locks

    @abstractmethod
    def compute(self, unit: U) -> dict[str, Any]:
        """Run one unit; returns the content of its record, without the name and the CPU time."""

    def clear(self, unit: U) -> None:
        """Remove files that are no longer needed once ``unit`` is done."""

    @abstractmethod
    def needs(self, unit: U) -> Sequence[U]:
        """The units that must be done before ``unit``."""

    def shared(self, unit: U) -> Hashable:
        """What ``unit`` computes and stores for other units, such as a teacher's outputs for a seed; None: nothing."""
        return None

    def run(self, unit: U) -> dict[str, Any]:
        """Run one unit; its record is written last, atomically."""
        log.info("%s: %d of %d done", unit.name, sum(map(self.is_done, self.units)), len(self.units))
        started = time.process_time()
        record = {"unit": unit.name} | self.compute(unit)
        record["cpu_seconds"] = round(time.process_time() - started, 1)
        write_json(self.file(unit), record)
        self.clear(unit)
        return record

    def write_scans(self, params: Params) -> None:
        """Write the scans of a profile of the synthetic world unless they exist; only one worker does it."""
        if params.data.dataset == SYNTHETIC:
            with self.lock(f"data-{params.profile.replace('/', '-')}", wait=True):
                write_world(params.data, params.data_root)

    def file(self, unit: U) -> Path:
        """The record of a unit."""
        return self.folder / f"{unit.name}.json"

    def is_done(self, unit: U) -> bool:
        """Whether the record of a unit exists."""
        return self.file(unit).is_file()

    def record(self, unit: U) -> dict[str, Any]:
        """The record of a unit that is done, checked.

        Raises:
            DataError: names the file and what is wrong with it: it is damaged, or that of something else.
        """
        file = self.file(unit)
        try:
            record = read_json(file)
        except DataError as error:
            reason = "it does not exist" if not file.exists() else "it is not valid JSON"
            raise DataError(self._wrong(unit, reason)) from error
        if not isinstance(record, dict):
            raise DataError(self._wrong(unit, f"it has a {type(record).__name__} where a record is expected"))
        if record.get("unit") != unit.name:
            raise DataError(self._wrong(unit, f"its `unit` is {record.get('unit')!r}: it is the record of another one"))
        if problem := self.problem(unit, record):
            raise DataError(self._wrong(unit, problem))
        return record

    def problem(self, unit: U, record: dict[str, Any]) -> str | None:
        """Why a record cannot be that of ``unit``; None if it can."""
        return None

    def _wrong(self, unit: U, reason: str) -> str:
        file = self.file(unit)
        return f"{file}: {reason}; get it back with `git checkout -- {file}`, or delete it and start a worker again"

    def status(self) -> str:
        """A line per unit, and how many are done, for a terminal."""
        states = ["done" if self.is_done(unit) else "running" if self._is_running(unit) else "-" for unit in self.units]
        lines = [f"{state:8s}{unit.name}\n" for state, unit in zip(states, self.units, strict=True)]
        running = f", {states.count('running')} running" if "running" in states else ""
        return "".join([*lines, f"{states.count('done')} of {len(states)} done{running}\n"])

    def work(self, poll: float = 30.0) -> int:
        """Run units until all are done; returns how many this worker ran.

        A unit whose training diverges is left out, and so are those that need it: it would diverge again.

        Args:
            poll: seconds to wait while other workers run all units that are ready.

        Raises:
            TrainingError: no unit can be run any more; names those that have failed.
        """
        ran, failed = 0, dict[str, TrainingError]()
        while missing := [unit for unit in self.units if not self.is_done(unit)]:
            elsewhere = any(self._is_running(unit) for unit in missing)  # before `ready`: it may just have ended
            ready = [
                unit for unit in missing
                if unit.name not in failed and all(self.is_done(other) for other in self.needs(unit))
            ]  # fmt: skip
            if not ready and not elsewhere:
                break
            while ready:
                unit = self._next(ready)
                with self.lock(unit.name) as mine:
                    if mine and not self.is_done(unit):
                        try:
                            self.run(unit)
                            ran += 1
                        except TrainingError as error:
                            log.error("%s: %s", unit.name, error)  # one line; the others go on
                            failed[unit.name] = error
                        break
                ready.remove(unit)
            else:
                time.sleep(poll)
        if missing:
            reasons = "; ".join(f"{name}: {error}" for name, error in failed.items())
            raise TrainingError(f"{len(missing)} of {len(self.units)} units cannot be run. Failed: {reasons}")
        return ran

    def _next(self, ready: Sequence[U]) -> U:
        """The first of the ``ready`` units, or rather the first that need not compute what another worker is storing.

        What units share is stored step by step by the first of them; a second one meanwhile would repeat its work.
        """
        stored = {self.shared(unit) for unit in self.units if self.is_done(unit)}
        running = {self.shared(unit) for unit in self.units if not self.is_done(unit) and self._is_running(unit)}
        twice = running - stored - {None}
        return next((unit for unit in ready if self.shared(unit) not in twice), ready[0])

    def _is_running(self, unit: U) -> bool:
        if not (self.locks / f"{unit.name}.lock").is_file():
            return False
        with self.lock(unit.name) as free:
            return not free

    @contextlib.contextmanager
    def lock(self, name: str, wait: bool = False) -> Iterator[bool]:
        """Hold the lock ``name`` inside the block; yields whether it was free.

        Args:
            name: name of a unit, or of any other work that only one process may do at a time.
            wait: whether to wait until the lock is free.
        """
        with locked(self.locks / f"{name}.lock", (lambda: None) if wait else None) as free:
            yield free


E = TypeVar("E", bound=Experiment[Any])


def run_command(package: str, plan: str, opened: Callable[[str], E], answered: Callable[[E], str]) -> int:
    """``python -m PACKAGE work|status|answer [--plan FILE]``; returns the exit status.

    Args:
        package: name of the module in the help text.
        plan: default path of the protocol.
        opened: opens the experiment of a protocol.
        answered: writes the answer of an experiment, and returns a line to print.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {package}", description="Run an experiment, or print its status or answer; see docs/study.md."
    )
    parser.add_argument("command", choices=("work", "status", "answer"))
    parser.add_argument("--plan", default=plan, help="path of the protocol (YAML)")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        experiment = opened(given.plan)
        if given.command == "work":
            experiment.work()
        else:
            sys.stdout.write(experiment.status() if given.command == "status" else f"{answered(experiment)}\n")
    except TopokdError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0
