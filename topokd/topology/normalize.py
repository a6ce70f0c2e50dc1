"""Normalisation of the rows of one feature cloud (Algorithm 1, lines 4-5), at any scale of the numbers."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from topokd.checks import real_tensor, require_finite
from topokd.errors import DataError, ParameterError

Normalization = Literal["l2", "none", "standardize", "mean_norm"]


def check_normalization(how: str) -> str:
    """``how`` itself.

    Raises:
        ParameterError: it is not one of `Normalization`.
    """
    if not isinstance(how, str) or how not in get_args(Normalization):
        raise ParameterError(f"normalize is {how!r}; choose one of {', '.join(map(repr, get_args(Normalization)))}")
    return how


def normalize_features(x: Float[Tensor, "n c"], how: str = "l2") -> Float[Tensor, "n c"]:
    """Alg. 1, lines 4-5, for the rows of one cloud (NOTES row 2).

    Free of the unit of ``x``: rows whose squares would overflow or vanish in its type are scaled first.

    Args:
        x: (n, c) features.
        how: "l2": each row divided by its length. "mean_norm": all rows divided by their mean length. "standardize":
            mean 0 and variance 1 per channel. "none": unchanged.

    Returns:
        (n, c) features; rows, clouds and channels without extent become zero, and receive no gradient.

    Raises:
        ParameterError: for an unknown `how`.
        DataError: for features that are not finite.

    Examples:
        >>> normalize_features(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000], [0.0000, 0.0000]])
        >>> normalize_features(torch.tensor([[3e30, 4e30]]))
        tensor([[0.6000, 0.8000]])
    """
    check_normalization(how)
    x = real_tensor(x, "x")
    x = x if x.is_floating_point() else x.double()
    if x.dim() != 2:
        raise DataError(f"x has the shape {tuple(x.shape)}, expected (n, c): one row per point")
    if how == "none" or x.numel() == 0:
        return x
    if how == "l2":
        x, length = _norm(x, dim=1, together=1)
        return _divide(x, length)
    if how == "mean_norm":
        x, length = _norm(x, dim=1, together=None)
        return _divide(x, length.mean())
    require_finite(x, "x")
    x = x / _size(x, 0) if _extreme(x.detach().square().sum(dim=0)) else x
    centered, length = _norm(x - x.mean(dim=0), dim=0, together=0)
    return _divide(centered, length / len(x) ** 0.5)


def _norm(x: Float[Tensor, "n c"], dim: int, together: int | None) -> tuple[Float[Tensor, "n c"], Tensor]:
    """`x` and its norms along ``dim``.

    Where squares leave the range of the type, `x` is first divided by its largest entries: those along ``together``, or
    the largest of all (None). The quotient of `x` and its norms does not change, and neither does its gradient.
    """
    squared = x.square().sum(dim=dim, keepdim=True)
    if _extreme(squared.detach()):
        require_finite(x, "x")
        x = x / _size(x, together)
        squared = x.square().sum(dim=dim, keepdim=True)
    positive = squared > 0
    return x, torch.where(positive, squared.where(positive, torch.ones_like(squared)).sqrt(), torch.zeros_like(squared))


def _bounds(dtype: torch.dtype) -> tuple[float, float]:
    """Sums of squares between these have lost nothing to overflow or underflow."""
    kind = torch.finfo(dtype)
    return kind.tiny / kind.eps**2, kind.max * kind.eps


def _extreme(squared: Tensor) -> bool:
    low, high = _bounds(squared.dtype)
    return squared.numel() > 0 and not bool(((squared > low) & (squared < high)).all())


def _size(x: Float[Tensor, "n c"], dim: int | None) -> Tensor:
    """The divisor of `x` before it is squared: 1 if the squares stay in range, otherwise its largest entry.

    Entries are those along ``dim``, or all of them (None). Not in the graph.
    """
    entries = x.detach().abs()
    largest = entries.amax() if dim is None else entries.amax(dim=dim, keepdim=True)
    low, high = _bounds(x.dtype)
    fine = (largest > low**0.5) & (largest < (high / max(1, x.numel())) ** 0.5)
    return torch.where(fine | (largest == 0), 1.0, largest)


def _divide(x: Tensor, size: Tensor) -> Tensor:
    positive = size > 0
    return torch.where(positive, x / torch.where(positive, size, torch.ones_like(size)), torch.zeros_like(x))
