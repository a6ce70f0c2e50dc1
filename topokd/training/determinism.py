"""Bit-for-bit reproducible steps: everything random is a function of (seed, purpose, step)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch

from topokd.choices import Role
from topokd.models import PointTransformerV3, build_model

_PURPOSES = {"teacher": 0, "student": 1, "step": 2}


def stream_seed(seed: int, purpose: Literal["teacher", "student", "step"], step: int = 0) -> int:
    """A 63-bit seed for one purpose of a run; different purposes and steps give unrelated streams.

    Args:
        seed: seed of the run.
        purpose: purpose of the numbers.
        step: step of the training.

    Examples:
        >>> stream_seed(0, "step", 3) == stream_seed(0, "step", 3) != stream_seed(0, "step", 4)
        True
    """
    return int(np.random.SeedSequence([seed, _PURPOSES[purpose], step]).generate_state(1, np.uint64)[0] >> 1)


def seeded_model(preset: str, num_classes: int, seed: int, role: Role) -> PointTransformerV3:
    """A network whose initial weights depend only on (seed, role), so that all students of a seed start equally.

    Args:
        preset: name of the network.
        num_classes: its outputs.
        seed: seed of the run.
        role: teachers and students have other weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, role))
        return build_model(preset, in_channels=4, num_classes=num_classes)


@contextlib.contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """``threads`` threads and deterministic kernels inside the block; the process settings are restored after it.

    Kernels without a deterministic form run with a warning (we use none of them on the CPU).
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS at its first call
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        memory.fill_uninitialized_memory = False  # a debugging aid that costs time
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1], warn_only=warn_only)
        memory.fill_uninitialized_memory = fill
