"""The order in which torch adds up numbers on this processor, so that compiled sums have the same bits."""

from __future__ import annotations

import functools

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

MAX_SUMMANDS = 256  # with more, torch sums in blocks
CANDIDATES = (16, 8, 4, 2)  # numbers in one vector register
TRIED = (1, 3, 7, 8, 15, 16, 17, 29, 31, 32, 61, 63, 64, 65, 100, 127, 129, 200, 255, 256)


def sum_in_lanes(numbers: Float[ndarray, " n"], lanes: int) -> np.floating:
    """The sum as a processor with vectors of ``lanes`` numbers computes it, four vectors at a time.

    Numbers are taken in groups of ``lanes``; groups 0, 4, 8, ... are added up number by number, and so are groups 1, 5,
    ... of each complete four, and so on. What is left over comes first in the total; then come the lanes in order, each
    the sum of its four parts. Fewer numbers than lanes are taken one by one.

    Args:
        numbers: up to `MAX_SUMMANDS`.
        lanes: numbers in a vector.

    Examples:
        >>> float(sum_in_lanes(np.array([1e8, 1.0, 1.0, 1.0], np.float32), 4))
        100000000.0
    """
    width = lanes if len(numbers) >= lanes else 1
    groups = len(numbers) // width
    vectors = numbers[: groups * width].reshape(groups, width)
    parts = np.zeros((4, width), numbers.dtype)
    for k, vector in enumerate(vectors):
        parts[k % 4 if k < groups // 4 * 4 else 0] += vector
    total = numbers.dtype.type(0)
    for number in (*numbers[groups * width :], *(((parts[0] + parts[1]) + parts[2]) + parts[3])):
        total = total + number
    return total


@functools.cache
def lanes_of(dtype: torch.dtype) -> int:
    """The ``lanes`` for which `sum_in_lanes` has the bits of `torch.sum` on this processor; 0 if there is none.

    Args:
        dtype: float32 or float64.
    """
    generator = torch.Generator().manual_seed(0)
    tried = [torch.rand(n, dtype=dtype, generator=generator) for n in TRIED]
    for lanes in CANDIDATES:
        if all(float(sum_in_lanes(x.numpy(), lanes)) == float(x.sum()) for x in tried):
            return lanes
    return 0
