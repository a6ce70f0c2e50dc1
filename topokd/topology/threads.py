"""Threads over several clouds: the compiled loops release the GIL, so one thread per core is used fully."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

A = TypeVar("A")
B = TypeVar("B")


def parallel_map(function: Callable[[A], B], items: Sequence[A], workers: int | None = None) -> list[B]:
    """`[function(item) for item in items]` on several threads.

    Args:
        function: called once per item.
        items: its arguments.
        workers: number of threads; None for as many as torch uses.

    Examples:
        >>> parallel_map(abs, [-1, 2, -3])
        [1, 2, 3]
    """
    workers = min(len(items), workers or torch.get_num_threads())
    if workers <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, items))


def map_in_background(
    function: Callable[[A], B], items: Sequence[A], workers: int | None = None
) -> Callable[[], list[B]]:
    """Start `parallel_map` in background threads.

    Args:
        function: called once per item.
        items: its arguments.
        workers: number of threads; None for as many as torch uses.

    Returns:
        A function that waits for the results and returns them; it raises what `function` raised.

    Examples:
        >>> map_in_background(abs, [-1, 2, -3])()
        [1, 2, 3]
    """
    pool = ThreadPoolExecutor(max(1, min(len(items), workers or torch.get_num_threads())))
    futures = [pool.submit(function, item) for item in items]
    pool.shutdown(wait=False)
    return lambda: [future.result() for future in futures]
