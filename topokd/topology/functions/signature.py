"""The signature loss of topological autoencoders."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy import ndarray
from torch import Tensor

from topokd.errors import DataError
from topokd.options import flag
from topokd.topology.functions.clouds import Clouds, distance_matrix, lengths, over_pairs, spanning_tree
from topokd.topology.torch_compile import eagerly


@eagerly
def signature_loss(x: Clouds, y: Clouds, *, normalize: bool = False) -> Float[Tensor, "*b"]:
    """The loss of topological autoencoders in degree 0, both directions (Moor et al. 2020, Sec. 3.2).

    ``1/2 ||A[pi_x] - B[pi_x]||^2 + 1/2 ||A[pi_y] - B[pi_y]||^2``, where A and B are the distances within x and y, and
    pi_x and pi_y the edges that end classes of degree 0: the minimum spanning trees. The edges are held fixed in the
    gradient.

    At ties: of equal edges the one with the lower indices is in the tree; edges of length 0 have no gradient.

    Args:
        x: (n, c) points, or a list of b clouds.
        y: (n, d) points, row i for row i of ``x``, or a list of clouds.
        normalize: divide the distances of each cloud by their maximum (the authors divide those of the data).

    Returns:
        A scalar, or (b,) for lists; in the square of the points' unit (dimensionless when normalised).

    Raises:
        ValueError: clouds that are not (n, c) and finite, numbers of rows that differ, or a loss beyond their type.

    Examples:
        >>> x, y = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.0], [1.0], [2.0]])
        >>> signature_loss(x, y)  # the edge of length 2 in x has length 1 in y, in both trees
        tensor(1.)
    """

    flag(normalize, "normalize")

    def loss(first: Tensor, second: Tensor, _: str) -> Tensor:
        a, b = distance_matrix(first), distance_matrix(second)
        total = first.new_zeros((), dtype=torch.float64)
        for edges in (spanning_tree(a), spanning_tree(b)):
            in_x, in_y = lengths(first, edges), lengths(second, edges)
            if normalize:
                in_x, in_y = in_x / _diameter(first, a), in_y / _diameter(second, b)
            total = total + (in_x - in_y).square().sum() / 2
        dtype = torch.promote_types(first.dtype, second.dtype)
        if not normalize:
            _require_range(a, b, dtype)
        return total.to(dtype)

    return over_pairs(loss, x, y)


def _require_range(a: Float64[ndarray, "n n"], b: Float64[ndarray, "n n"], dtype: torch.dtype) -> None:
    """Raise DataError if the loss between clouds of these distances is beyond ``dtype``."""
    most = torch.finfo(dtype).max
    reach = max(float(a.max()), float(b.max()))
    if reach * reach * len(a) <= most:
        return
    edges = [spanning_tree(a), spanning_tree(b)]
    with np.errstate(over="ignore"):
        loss = sum(
            float(np.square(a[rows, columns] - b[rows, columns]).sum()) / 2 for rows, columns in (e.T for e in edges)
        )
    if not loss <= most:
        raise DataError(
            f"the loss is {loss:.3g}, in squares of distances up to {reach:.3g}, more than {str(dtype)[6:]} holds: "
            "divide both clouds by a constant, or pass normalize=True"
        )


def _diameter(x: Float[Tensor, "n c"], distances: Float64[ndarray, "n n"]) -> Float[Tensor, ""]:
    """The largest distance, in the graph; 1 where all points coincide."""
    furthest = np.array([np.unravel_index(distances.argmax(), distances.shape)], dtype=np.int64)
    largest = lengths(x, furthest)[0]
    return largest if distances.any() else torch.ones_like(largest)
