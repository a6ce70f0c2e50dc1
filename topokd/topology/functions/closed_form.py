"""Distances of two diagrams with closed-form gradients: from arrays to autograd, one pair or a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from topokd.errors import DataError
from topokd.topology.functions.inputs import Diagrams, diagrams
from topokd.topology.second_derivatives import refuse_second
from topokd.topology.threads import parallel_map

Distance = Callable[[np.ndarray, np.ndarray, bool], tuple[float, np.ndarray, np.ndarray]]
"""float64 arrays (k, 2) and (m, 2), and whether gradients are needed -> the value, and gradients of these shapes."""

WORTH_THREADS = 400  # points of a batch; for fewer, starting threads takes longer than the distances


def distance_of_pairs(distance: Distance, a: Diagrams, b: Diagrams) -> Float[Tensor, "*b"]:
    """The distance of two diagrams, or of each pair of two lists, in parallel on the CPU's threads.

    The result has the wider type of both, on their device. It is differentiable once; a second derivative raises an
    error.

    Args:
        distance: the function of two diagrams.
        a: one diagram (k, 2), or a list of them.
        b: one diagram (m, 2), or a list of the same length.

    Raises:
        DataError: the lists have different lengths, the devices differ, or a diagram is not valid (see `diagrams`).
    """
    (first, single), (second, second_single) = diagrams(a, "a"), diagrams(b, "b")
    if single != second_single or len(first) != len(second):
        raise DataError(
            f"a is {_described(first, single)} and b is {_described(second, second_single)}: pass two diagrams, or two "
            "lists of one length"
        )
    if first[0].device != second[0].device:
        raise DataError(f"a is on {first[0].device} and b on {second[0].device}: move them to one device")
    needed = torch.is_grad_enabled() and any(x.requires_grad for x in (*first, *second))
    arrays = [(_array(x), _array(y)) for x, y in zip(first, second, strict=True)]
    if len(arrays) > 1 and sum(len(x) + len(y) for x, y in arrays) >= WORTH_THREADS:
        closed = parallel_map(lambda pair: distance(*pair, needed), arrays)
    else:
        closed = [distance(*pair, needed) for pair in arrays]
    if single:
        values = _ClosedForm.apply(first[0], second[0], closed)
        return values[0]  # type: ignore[no-any-return]
    return _ClosedForm.apply(torch.cat(first), torch.cat(second), closed)  # type: ignore[no-any-return]


def _described(tensors: list[Tensor], single: bool) -> str:
    return "one diagram" if single else f"a list of {len(tensors)}"


def _array(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.detach().to(device="cpu", dtype=torch.float64).numpy())


class _ClosedForm(torch.autograd.Function):
    """Values that are known, with gradients that are known: diagrams in one tensor each, one after the other."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, closed: list[tuple[float, np.ndarray, np.ndarray]]) -> Tensor:
        ctx.closed = closed
        ctx.save_for_backward(a, b)
        ctx.like = (a.dtype, a.device), (b.dtype, b.device)
        return torch.tensor([f[0] for f in closed], dtype=torch.promote_types(a.dtype, b.dtype), device=a.device)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        scale = gradient.tolist()
        results: list[Tensor | None] = []
        for side in (1, 2):
            if not ctx.needs_input_grad[side - 1]:
                results.append(None)
                continue
            parts = [g * f[side] for g, f in zip(scale, ctx.closed, strict=True)]
            dtype, device = ctx.like[side - 1]
            results.append(torch.from_numpy(parts[0] if len(parts) == 1 else np.concatenate(parts)).to(device, dtype))
        a, b = (refuse_second("a distance of two diagrams", r, *ctx.saved_tensors, gradient) for r in results)
        return a, b, None
