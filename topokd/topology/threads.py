"""Work on several clouds at a time: compiled loops that release the GIL, one thread per core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

A = TypeVar("A")
B = TypeVar("B")


def side_by_side(function: Callable[[A], B], items: Sequence[A], workers: int | None = None) -> list[B]:
    """``[function(item) for item in items]`` on ``workers`` threads (None: as many as torch uses).

    >>> side_by_side(abs, [-1, 2, -3])
    [1, 2, 3]
    """
    workers = min(len(items), workers or torch.get_num_threads())
    if workers <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, items))


def begun(function: Callable[[A], B], items: Sequence[A], workers: int | None = None) -> Callable[[], list[B]]:
    """Start :func:`side_by_side` on threads of its own and return at once; the result, when called, waits for it.

    An exception of ``function`` is raised there.

    >>> begun(abs, [-1, 2, -3])()
    [1, 2, 3]
    """
    pool = ThreadPoolExecutor(max(1, min(len(items), workers or torch.get_num_threads())))
    futures = [pool.submit(function, item) for item in items]
    pool.shutdown(wait=False)
    return lambda: [future.result() for future in futures]
