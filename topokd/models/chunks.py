"""How many rows inference on a CPU processes at a time."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

CACHED_VALUES = 2**18  # as float32, half of the 2 MiB second-level cache of a core on common servers


def rows_per_chunk(x: Float[Tensor, "n c"], width: int) -> int | None:
    """How many rows to process at a time so that ``width`` values of each stay in a core's cache; None for all.

    With gradients (where sums over the rows would round differently), off the CPU, and while torch compiles or exports,
    all rows are processed at once.

    Args:
        x: (n, c) rows.
        width: number of values per row.

    Examples:
        >>> with torch.no_grad():
        ...     rows_per_chunk(torch.ones(10, 4), width=64)
        4096
    """
    if torch.is_grad_enabled() or x.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    return max(CACHED_VALUES // width, 1)
