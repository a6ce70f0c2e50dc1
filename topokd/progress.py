"""Progress of long work: a bar in a notebook or terminal, lines in a file when the pipeline runs the notebook.

An executed notebook must have the same bytes in every run, so it cannot contain a bar with timings. The pipeline
therefore names a file in ``$TOPOKD_PROGRESS``: each step appends a JSON line to it, and the pipeline shows them (with
an estimate of the time left) outside the notebook.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


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
        line = json.dumps({"task": self.task, "done": self.done, "total": self.total, "note": self.note})
        with open(str(self.file), "a", encoding="utf-8") as stream:
            stream.write(line + "\n")
