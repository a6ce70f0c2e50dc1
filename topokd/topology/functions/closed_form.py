"""Functions of diagrams with closed-form gradients: from arrays to autograd, one diagram, one pair or a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from topokd.topology.critical_edges import in_forward_mode
from topokd.topology.functions.inputs import (
    Diagrams,
    array_of,
    as_pairs,
    check_values,
    float64_array,
    padded,
)
from topokd.topology.functions.pairs import checked_pairs
from topokd.topology.second_derivatives import refuse_second
from topokd.topology.threads import parallel_map

Distance = Callable[[np.ndarray, np.ndarray, bool], tuple[float, np.ndarray, np.ndarray]]
"""float64 arrays (k, 2) and (m, 2), and whether gradients are needed -> the value, and gradients of these shapes."""

OfPersistence = Callable[[np.ndarray, bool], tuple[float, np.ndarray]]
"""Persistence (k,) in float64, k at least 1, and whether derivatives are needed -> the value, and derivatives (k,)."""
Formula = Callable[[Float[Tensor, "b k"]], Float[Tensor, " b"]]
"""Persistence (b, k) of diagrams that are filled up with 0 -> the value of each."""

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
        DataError: see `checked_pairs`.
    """
    first, second, single = checked_pairs(a, b)
    needed = torch.is_grad_enabled() and any(x.requires_grad for x in (*first, *second))
    arrays = [(float64_array(x), float64_array(y)) for x, y in zip(first, second, strict=True)]
    if len(arrays) > 1 and sum(len(x) + len(y) for x, y in arrays) >= WORTH_THREADS:
        closed = parallel_map(lambda pair: distance(*pair, needed), arrays)
    else:
        closed = [distance(*pair, needed) for pair in arrays]
    if single and not needed and not in_forward_mode():
        return torch.tensor(
            closed[0][0], dtype=torch.promote_types(first[0].dtype, second[0].dtype), device=first[0].device
        )
    if single:
        values = _ClosedForm.apply(first[0], second[0], closed)
        return values.squeeze(0)  # type: ignore[no-any-return]
    return _ClosedForm.apply(torch.cat(first), torch.cat(second), closed)  # type: ignore[no-any-return]


def function_of_persistence(diagram: Diagrams, closed: OfPersistence, formula: Formula) -> Float[Tensor, "*b"]:
    """A number that depends only on how long each pair persists, of one diagram or each of a list.

    Args:
        diagram: one diagram (k, 2), or a list of them.
        closed: its value for one diagram on the CPU, with its derivatives.
        formula: the same in torch, for lists, for GPUs, and where the derivatives are differentiated again.

    Raises:
        DataError: a diagram is not valid (see `diagrams`).
    """
    pairs = as_pairs(diagram, "diagram") if isinstance(diagram, Tensor | np.ndarray) else None
    array = array_of(pairs)
    if pairs is None or array is None or not array.size:
        batch = padded(diagram)
        return batch.result(formula(batch.persistence))
    check_values(pairs, "diagram")
    persistence = (array[:, 1] - array[:, 0]).astype(np.float64)
    if pairs.requires_grad and torch.is_grad_enabled():
        return _FunctionOfPersistence.apply(pairs, persistence, closed, formula)  # type: ignore[no-any-return]
    return torch.tensor(closed(persistence, False)[0], dtype=pairs.dtype)


class _FunctionOfPersistence(torch.autograd.Function):
    """`function_of_persistence` of one diagram on the CPU."""

    @staticmethod
    def forward(ctx: Any, diagram: Tensor, persistence: np.ndarray, closed: OfPersistence, formula: Formula) -> Tensor:
        value, ctx.slope = closed(persistence, True)
        ctx.formula = formula
        ctx.save_for_backward(diagram)
        return torch.tensor(value, dtype=diagram.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (diagram,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: the gradient will be differentiated again
            value = ctx.formula((diagram[:, 1] - diagram[:, 0])[None]).squeeze(0)
            return in_the_graph(value, diagram, gradient), None, None, None
        pulled = np.empty(diagram.shape, np.float32 if diagram.dtype == torch.float32 else np.float64)
        np.multiply(ctx.slope, gradient.item(), out=pulled[:, 1], casting="same_kind")
        np.negative(pulled[:, 1], out=pulled[:, 0])
        return torch.from_numpy(pulled), None, None, None


def in_the_graph(value: Tensor, points: Tensor, gradient: Tensor) -> Tensor:
    """The gradient of ``points``, from that of ``value``, so that it can be differentiated."""
    (pulled,) = torch.autograd.grad(value, points, gradient, create_graph=True)
    return pulled


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
