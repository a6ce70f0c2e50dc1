"""Prefetch samples in worker processes."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from topokd.errors import DataError, TopokdError
from topokd.options import whole

T = TypeVar("T")
_END: Any = object()


def prefetch(draw: Callable[[int], T], numbers: Sequence[int], workers: int) -> Iterator[T]:
    """Yield ``draw(number)`` for each of ``numbers``, in order.

    Args:
        draw: makes one item; the results do not depend on ``workers`` if it depends on its argument only.
        numbers: arguments of ``draw``.
        workers: number of processes, each of which prefetches two items; 0 loads synchronously.

    Returns:
        An iterator over the items.

    Raises:
        TopokdError: an error that ``draw`` raised in a worker, raised again when its item is due.
        DataError: a worker died.

    Examples:
        >>> list(prefetch(lambda number: number**2, range(3, 6), workers=0))
        [9, 16, 25]
    """
    workers = whole(workers, "workers", least=0, most=1024)
    loader = DataLoader(
        _Drawn(draw),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        worker_init_fn=_ignore_signals,
        generator=torch.Generator(),  # separate: the loader must not advance the global generator of the caller
    )
    items = iter(loader)
    while True:
        with _explain_death(workers):
            item = next(items, _END)
        if item is _END:
            return
        if isinstance(item, TopokdError):
            raise item
        yield item


@contextlib.contextmanager
def _explain_death(workers: int) -> Iterator[None]:
    """Say what to do when torch finds a worker dead."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        reason = str(error).splitlines()[0].rstrip(". ")
        raise DataError(
            f"a process that reads scans died ({reason}): most often the system ended it because memory ran out; set "
            f"train.workers below {workers}, or give the job more memory, then start again: training resumes"
        ) from error


def _ignore_signals(_: int) -> None:
    """Leave SIGTERM and Ctrl-C to the parent: all processes of a job get them, and training must still save its state.

    A worker ends when its parent stops it or dies.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


class _Drawn(Dataset, Generic[T]):
    def __init__(self, draw: Callable[[int], T]) -> None:
        self.draw = draw

    def __getitem__(self, number: int) -> T | TopokdError:
        try:
            return self.draw(number)
        except TopokdError as error:
            return error
