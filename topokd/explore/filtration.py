"""The filtration that the explorers draw: the edges of a cloud in order. The browser lists the triangles from them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Int64
from numpy import ndarray

from topokd.topology import squared_distances
from topokd.topology.engines import edge_ranks


def rips_edges(points: Float[ndarray, "n c"]) -> tuple[Int64[ndarray, "m 2"], Float32[ndarray, " m"]]:
    """All m = n (n - 1) / 2 edges of a cloud in the engines' total order (length, then index), and their lengths.

    Args:
        points: (n, c) cloud.

    Returns:
        The vertices of the edges, the shortest first, and their lengths.

    Examples:
        >>> edges, lengths = rips_edges(np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]]))
        >>> edges.tolist(), lengths.tolist()
        ([[0, 1], [1, 2], [0, 2]], [3.0, 4.0, 5.0])
    """
    squared = squared_distances(np.asarray(points, dtype=np.float64))
    _, edges = edge_ranks(squared, np.inf)
    return edges, np.sqrt(squared[edges[:, 0], edges[:, 1]]).astype(np.float32)
