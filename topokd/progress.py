"""Progress of long work: a bar in a notebook or terminal, lines in a file when the pipeline runs the notebook.

An executed notebook must have the same bytes in every run, so it cannot contain a bar with timings, nor a notice about
the machine that it runs on. The pipeline therefore names a file in ``$TOPOKD_PROGRESS``: each step and each notice
appends a JSON line to it, and the pipeline shows them (with an estimate of the time left) outside the notebook.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


def notify(log: logging.Logger, message: str) -> None:
    """Report something about the machine that does not affect results, as a warning in the log or next to the progress.

    Args:
        log: logger of the caller.
        message: a sentence.
    """
    file = os.environ.get("TOPOKD_PROGRESS")
    if file:
        _append(file, message)
    else:
        log.warning("%s", message)


def report_earlier(message: str, seconds: float) -> None:
    """Tell the pipeline that this work was begun by processes that were stopped; it adds their time to the record.

    Args:
        message: a sentence.
        seconds: that they spent.
    """
    file = os.environ.get("TOPOKD_PROGRESS")
    if file:
        _append(file, message, earlier_seconds=seconds)


def _append(file: str, task: str, done: int = 0, total: int = 0, note: str = "", **more: float) -> None:
    line = json.dumps({"task": task, "done": done, "total": total, "note": note, **more})
    with open(file, "a", encoding="utf-8") as stream:
        stream.write(line + "\n")


class Progress(Generic[T]):
    """Iterate over ``items`` and report progress.

    Args:
        items: what to iterate over.
        task: name of the work, such as "reading".
        total: number of steps; None takes the length of ``items``.
        start: steps done before the first item.

    Examples:
        >>> for scan in Progress(["a", "b"], "reading"):
        ...     pass
    """

    def __init__(self, items: Iterable[T], task: str, total: int | None = None, start: int = 0) -> None:
        self.items, self.task, self.done, self.note = items, task, start, ""
        self.total = total if total is not None else len(items)  # type: ignore[arg-type]
        self.file = os.environ.get("TOPOKD_PROGRESS")
        self._written = 0.0

    def __iter__(self) -> Iterator[T]:
        if self.file:
            self._report()
            for item in self.items:
                yield item
                self.done += 1
                self._report()
            return
        from tqdm.auto import tqdm

        with tqdm(self.items, desc=self.task, total=self.total, initial=self.done, leave=False) as bar:
            for item in bar:
                yield item
                if self.note:
                    bar.set_postfix_str(self.note, refresh=False)

    def _report(self) -> None:
        now = time.monotonic()
        if self.done < self.total and self.done > 0 and now - self._written < 1.0:
            return
        self._written = now
        _append(str(self.file), self.task, self.done, self.total, self.note)
