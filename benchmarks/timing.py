"""Timing for all benchmarks: programs take turns, the first round warms up, and medians are reported.

Taking turns (interleaving) spreads what else the machine does over all programs, so their ratios are stable where
single times are not. `torch.utils.benchmark` and pyperf time one program after the other, which is why we do not use
them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch

Work = Callable[[], object]
Name = TypeVar("Name")


def cpu_seconds(work: Work) -> float:
    """CPU time of this process, less sensitive to other work on the machine than wall time."""
    start = time.process_time()
    work()
    return time.process_time() - start


def wall_seconds(work: Work) -> float:
    """Wall time, including pending work on the GPU."""
    _synchronize()
    start = time.perf_counter()
    work()
    _synchronize()
    return time.perf_counter() - start


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def event_seconds(work: Work) -> float:
    """Time between two CUDA events, so that queued work is not mistaken for finished work."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000


CLOCKS = {"cpu": cpu_seconds, "wall": wall_seconds, "cuda": event_seconds}


def interleaved(works: Mapping[Name, Work], repeats: int, clock: str = "cpu") -> dict[Name, list[float]]:
    """Seconds of each run of each program, in turn; one round before the others warms up and does not count.

    Args:
        works: what to time, by name.
        repeats: rounds that count.
        clock: a key of `CLOCKS`.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            taken = CLOCKS[clock](work)
            if turn:
                seconds[name].append(taken)
    return seconds


def medians(works: Mapping[Name, Work], repeats: int, clock: str = "cpu") -> dict[Name, float]:
    """Median seconds of each program; arguments as in `interleaved`."""
    return {name: statistics.median(times) for name, times in interleaved(works, repeats, clock).items()}


def median(work: Work, repeats: int, clock: str = "cpu") -> float:
    """Median seconds of one program after a warm-up run."""
    return medians({"": work}, repeats, clock)[""]
