"""Representation topology divergence: how the shapes of two clouds differ, row by row (RTD, RTD-Lite)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from topokd.topology.functions.clouds import (
    Clouds,
    Scale,
    distance_matrix,
    lengths,
    over_pairs,
    quantile_scale,
    spanning_tree,
)
from topokd.topology.persistence import vietoris_rips
from topokd.topology.torch_compile import eagerly


@eagerly
def rtd(x: Clouds, y: Clouds, *, quantile: float | None = 0.9) -> Float[Tensor, "*b"]:
    """Representation topology divergence (Barannikov, Trofimov, Balabin and Burnaev 2022), of degree 1.

    ``RTD(x, y) = (R(A, B) + R(B, A)) / 2``, where A and B are the distances within x and y, each divided by its
    0.9-quantile, and R(A, B) is the total length of the bars of degree 1 (the R-cross-barcode) of the Vietoris-Rips
    filtration of 2n points with the distances ``[[0, A], [A, min(A, B)]]``: of features that A and B have at different
    scales. Computed as in the authors' code on all rows; they average over random samples of 500 rows. Gradients go
    through the lengths of the critical edges, and through the quantiles.

    At ties: where an edge has one length in both clouds, each gets half of its gradient; of a triangle's equal longest
    edges the first has it; between equal distances the order of their indices decides, as in `vietoris_rips`.

    Args:
        x: (n, c) points, or a list of b clouds.
        y: (n, d) points, row i for row i of ``x``, or a list of clouds.
        quantile: distances are divided by this quantile of them, in (0, 1]; None: as they are.

    Returns:
        A scalar, or (b,) for lists; 0 where both clouds have the same distances. Dimensionless (with quantile=None: in
        the unit of the points).

    Raises:
        ValueError: clouds that are not (n, c) and finite, numbers of rows that differ, or a quantile that is
        impossible.

    Examples:
        >>> angle = torch.linspace(0, 6, 30)
        >>> circle = torch.stack([angle.cos(), angle.sin()], dim=1)
        >>> line = torch.stack([angle, angle * 0], dim=1)
        >>> rtd(circle, circle), rtd(circle, line) > 0.1
        (tensor(0.), tensor(True))
    """

    def divergence(first: Tensor, second: Tensor, at: str) -> Tensor:
        a, scale_a = _scaled_distances(first, quantile, f"x{at}")
        b, scale_b = _scaled_distances(second, quantile, f"y{at}")
        bars = _Bars.between(a, b).together(_Bars.between(b, a).swapped())
        total = bars.total_length(
            scale_a.apply(first, lengths(first, bars.edges)), scale_b.apply(second, lengths(second, bars.edges))
        )
        return (total / 2).to(torch.promote_types(first.dtype, second.dtype))

    return over_pairs(divergence, x, y)


def _scaled_distances(
    x: Float[Tensor, "n c"], quantile: float | None, name: str
) -> tuple[Float64[ndarray, "n n"], Scale]:
    """Distances between the rows, divided by their quantile; and that quantile, for the gradient."""
    distances = distance_matrix(x)
    scale = quantile_scale(distances, quantile, name)
    return distances / scale.value, scale


@dataclass(frozen=True)
class _Bars:
    """Critical edges of bars of degree 1, whose lengths added up with their signs are the total length of the bars.

    Attributes:
        edges: (e, 2) pairs of rows.
        sign: (e,) 1 for a death, -1 for a birth.
        of_x: (e,) whether the length is that in x.
        of_y: (e,) whether it is that in y; of both, the shorter one.
    """

    edges: Int64[ndarray, "e 2"]
    sign: Float64[ndarray, " e"]
    of_x: Bool[ndarray, " e"]
    of_y: Bool[ndarray, " e"]

    @classmethod
    def between(cls, a: Float64[ndarray, "n n"], b: Float64[ndarray, "n n"]) -> _Bars:
        """The bars of [[0, A], [A, min(A, B)]], A the distances of x and B those of y."""
        n = len(a)
        joint = np.block([[np.zeros_like(a), a], [a, np.minimum(a, b)]])
        persistence = vietoris_rips(joint, metric="precomputed", max_dim=1)
        births, triangles = persistence.birth_simplices[1].numpy(), persistence.death_simplices[1].numpy()
        sides = triangles[:, [[0, 1], [0, 2], [1, 2]]]  # (k, 3, 2)
        longest = joint[sides[..., 0], sides[..., 1]].argmax(axis=1) if len(sides) else np.empty(0, np.int64)
        edges = np.concatenate([births, sides[np.arange(len(sides)), longest]])
        inside = (edges >= n).sum(axis=1)  # 0: length 0, 1: of A, 2: of min(A, B)
        return cls(edges % n, np.repeat([-1.0, 1.0], len(births)), inside > 0, inside == 2)

    def swapped(self) -> _Bars:
        """The same of y and x."""
        return _Bars(self.edges, self.sign, self.of_y, self.of_x)

    def together(self, other: _Bars) -> _Bars:
        """Both, one after the other."""
        mine, theirs = (self.edges, self.sign, self.of_x, self.of_y), (other.edges, other.sign, other.of_x, other.of_y)
        return _Bars(*map(np.concatenate, zip(mine, theirs, strict=True)))

    def total_length(self, in_x: Float[Tensor, " e"], in_y: Float[Tensor, " e"]) -> Float[Tensor, ""]:
        """From the lengths of the edges in x and in y."""
        x, y, both = (
            torch.from_numpy(self.sign * kind).to(in_x.device)
            for kind in (self.of_x & ~self.of_y, self.of_y & ~self.of_x, self.of_x & self.of_y)
        )
        return (x * in_x + y * in_y + both * torch.minimum(in_x, in_y)).sum()


@eagerly
def rtd_lite(x: Clouds, y: Clouds, *, quantile: float | None = 0.9) -> Float[Tensor, "*b"]:
    """RTD-Lite (Tulchinskii, Voronkova, Trofimov, Burnaev and Barannikov 2025): the divergence of clusters alone.

    ``(T(A) + T(B) - 2 T(min(A, B))) / 2``, where A and B are the distances within x and y, each divided by its
    0.9-quantile, and T the total length of the minimum spanning tree: the sum of the RTD-Lite barcode's bars, averaged
    over both directions, in time and memory O(n^2). Gradients go through the edges of the three trees, and through the
    quantiles.

    At ties: where an edge has one length in both clouds, each gets half of its gradient; of equal edges the one with
    the lower indices is in the tree.

    Args:
        x: (n, c) points, or a list of b clouds.
        y: (n, d) points, row i for row i of ``x``, or a list of clouds.
        quantile: distances are divided by this quantile of them, in (0, 1]; None: as they are.

    Returns:
        A scalar, or (b,) for lists; 0 where both clouds have the same distances. Dimensionless (with quantile=None: in
        the unit of the points).

    Raises:
        ValueError: clouds that are not (n, c) and finite, numbers of rows that differ, or a quantile that is
        impossible.

    Examples:
        >>> pairs = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
        >>> rtd_lite(pairs, pairs), rtd_lite(pairs, pairs[[0, 2, 1, 3]], quantile=None)
        (tensor(0.), tensor(8.))
    """

    def divergence(first: Tensor, second: Tensor, at: str) -> Tensor:
        a, scale_x = _scaled_distances(first, quantile, f"x{at}")
        b, scale_y = _scaled_distances(second, quantile, f"y{at}")
        trees = spanning_tree(a), spanning_tree(b), spanning_tree(np.minimum(a, b))
        total = (
            scale_x.apply(first, lengths(first, trees[0])).sum()
            + scale_y.apply(second, lengths(second, trees[1])).sum()
        )
        common = torch.minimum(
            scale_x.apply(first, lengths(first, trees[2])), scale_y.apply(second, lengths(second, trees[2]))
        )
        return ((total - 2 * common.sum()) / 2).to(torch.promote_types(first.dtype, second.dtype))

    return over_pairs(divergence, x, y)
