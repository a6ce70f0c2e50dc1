"""Prefetch samples in worker processes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from topokd.errors import TopokdError
from topokd.options import whole

T = TypeVar("T")


def prefetch(draw: Callable[[int], T], numbers: Sequence[int], workers: int) -> Iterator[T]:
    """Yield ``draw(number)`` for each of ``numbers``, in order.

    Args:
        draw: makes one item; the results do not depend on ``workers`` if it depends on its argument only.
        numbers: arguments of ``draw``.
        workers: number of processes, each of which prefetches two items; 0 loads synchronously.

    Raises:
        TopokdError: an error that ``draw`` raised in a worker, raised again when its item is due.

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
        worker_init_fn=_ignore_sigterm,
        generator=torch.Generator(),  # separate: the loader must not advance the global generator of the caller
    )
    for item in loader:
        if isinstance(item, TopokdError):
            raise item
        yield item


def _ignore_sigterm(_: int) -> None:
    """Leave SIGTERM to the parent: SLURM sends it to every process of a job, and training must still save its state.

    A worker ends when its parent stops it or dies.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class _Drawn(Dataset, Generic[T]):
    def __init__(self, draw: Callable[[int], T]) -> None:
        self.draw = draw

    def __getitem__(self, number: int) -> T | TopokdError:
        try:
            return self.draw(number)
        except TopokdError as error:
            return error
