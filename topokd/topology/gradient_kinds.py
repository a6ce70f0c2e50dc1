"""Which points a gradient of a diagram moves: the ends of critical edges, or all points along a smooth field."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from topokd.checks import real_rows
from topokd.errors import ParameterError
from topokd.options import number
from topokd.topology.second_derivatives import refuse_second

Gradient = Literal["critical", "diffeomorphic", "big_step"]
GRADIENTS: tuple[str, ...] = get_args(Gradient)
"""Kinds of gradient: see `vietoris_rips`."""

RIDGE = 1e-8  # added to the kernel matrix's diagonal of ones: near duplicates among the moved points share their moves
DEFAULT_SHARE = 0.5  # of the median distance of two points: the bandwidth where none is given


def check_gradient(gradient: str, bandwidth: float | None = None, metric: str = "euclidean", step: float = 1.0) -> None:
    """Check the options of `vietoris_rips` about gradients.

    Args:
        gradient: one of `GRADIENTS`.
        bandwidth: bandwidth of the diffeomorphic gradient, above 0, or None.
        metric: "euclidean" or "precomputed"; only points can be moved by other gradients than "critical".
        step: length of big steps, above 0.

    Raises:
        ParameterError: an option is invalid, or the gradient does not fit the metric.
    """
    if not isinstance(gradient, str) or gradient not in GRADIENTS:
        raise ParameterError(f"gradient is {gradient!r}; choose one of {', '.join(map(repr, GRADIENTS))}")
    if bandwidth is not None:
        number(bandwidth, "bandwidth", above=True)
    number(step, "step", above=True)
    if gradient != "critical" and metric != "euclidean":
        raise ParameterError(f"gradient is {gradient!r}, which moves points: pass points, or gradient='critical'")


def moved(x: Float[Tensor, "n c"], gradient: str, bandwidth: float | None) -> Float[Tensor, "n c"]:
    """``x`` itself; with ``gradient="diffeomorphic"`` its gradient is that of `diffeomorphic` with ``bandwidth``."""
    return diffeomorphic(x, bandwidth) if gradient == "diffeomorphic" else x


def diffeomorphic(x: Float[Tensor, "n c"], bandwidth: float | None = None) -> Float[Tensor, "n c"]:
    """``x`` itself; the gradient that comes back moves all points along a smooth field (Carriere et al. 2024).

    With I the points at which the incoming gradient g is not zero, and k(y, z) = exp(-||y - z||^2 / (2 h^2))::

        v(y) = sum over i in I of k(y, x_i) a_i,     a = K^-1 g_I,     K_ij = k(x_i, x_j)

    v equals g at the points of I and extends it smoothly to the points around them: it is the smoothest such field (of
    least norm in the kernel's space), and moving by it is a diffeomorphism for small steps. To first order it descends
    as fast as g: the product of g and v is ||g||^2.

    Args:
        x: (n, c) points.
        bandwidth: h, in the unit of ``x``; None for half the median distance between two points.

    Returns:
        (n, c) points, equal to ``x``.

    Raises:
        ParameterError: the bandwidth is not positive.

    Examples:
        >>> x = torch.tensor([[0.0], [0.1], [9.0]], requires_grad=True)
        >>> diffeomorphic(x, bandwidth=1.0)[0].sum().backward()
        >>> [round(g, 3) for g in x.grad[:, 0].tolist()]
        [1.0, 0.995, 0.0]
    """
    check_gradient("diffeomorphic", bandwidth)
    return _Diffeomorphic.apply(real_rows(x, "x"), bandwidth)  # type: ignore[no-any-return]


class _Diffeomorphic(torch.autograd.Function):
    """The identity, with the interpolated gradient."""

    @staticmethod
    def forward(ctx: Any, x: Float[Tensor, "n c"], bandwidth: float | None) -> Float[Tensor, "n c"]:
        ctx.save_for_backward(x)
        ctx.bandwidth = bandwidth
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, "n c"]) -> tuple[Float[Tensor, "n c"] | None, None]:
        (x,) = ctx.saved_tensors
        field = smooth_field(x, gradient.detach(), ctx.bandwidth).to(x.dtype)
        return refuse_second("the diffeomorphic gradient", field, x, gradient), None


def smooth_field(
    x: Float[Tensor, "n c"], gradient: Float[Tensor, "n c"], bandwidth: float | None = None
) -> Float[Tensor, "n c"]:
    """The field v of `diffeomorphic` at all points, in float64.

    Args:
        x: (n, c) points.
        gradient: (n, c) g, zero outside I.
        bandwidth: h; None for half the median distance between two points.
    """
    moved = (gradient != 0).any(dim=1).nonzero()[:, 0]
    if len(moved) == 0:
        return gradient.double()
    points = x.detach().double()
    distance = torch.cdist(points, points[moved], compute_mode="donot_use_mm_for_euclid_dist")  # (n, k)
    h = default_bandwidth(points) if bandwidth is None else bandwidth
    if h == 0:
        return gradient.double()
    kernel = torch.exp(-(distance / h).square() / 2)
    among = kernel[moved] + RIDGE * torch.eye(len(moved), dtype=torch.float64, device=x.device)
    weights = torch.linalg.solve(among, gradient[moved].double())  # (k, c)
    return kernel @ weights


def default_bandwidth(x: Float[Tensor, "n c"]) -> float:
    """Half the median distance between two points, over at most 1,024 of them, evenly picked."""
    kept = x.detach().double()[:: max(1, -(-len(x) // 1024))]
    distance = torch.pdist(kept)
    return DEFAULT_SHARE * float(distance.median()) if len(distance) else 0.0
