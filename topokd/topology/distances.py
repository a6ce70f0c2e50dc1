"""Pairwise distances that keep their digits: in float64, exactly symmetric, zero on the diagonal."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from topokd.checks import real_rows, require_memory
from topokd.topology import kernels
from topokd.topology.native import MAX_POINTS, squares_kernel

MIN_CHANNELS_FOR_GRAM = 12  # with fewer channels the plain loop is faster than the matrix product


def squared_distances(x: Float64[ndarray, "n c"]) -> Float64[ndarray, "n n"]:
    """`||x_i - x_j||^2` of all pairs of rows.

    `torch.cdist` in float32 expands the square and loses most digits of near duplicates. Here the product is taken in
    float64 of rows relative to the first one (an exact subtraction for float32 input), and pairs that still cancel are
    summed coordinate by coordinate.

    Args:
        x: (n, c) points.

    Returns:
        (n, n) squared distances, in the squared unit of `x`.

    Raises:
        DataError: they do not fit into memory.

    Examples:
        >>> squared_distances(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1e-9]]))[0]
        array([0.0e+00, 2.5e+01, 1.0e-18])
    """
    x = real_rows(x, "x").detach().cpu().double().numpy()
    if len(x) == 0:
        return np.zeros((0, 0))
    require_memory(8 * len(x) ** 2, f"the distances between {len(x):,} points", "sample first")
    return squares_of(x)


def squares_of(x: Float64[ndarray, "n c"]) -> Float64[ndarray, "n n"]:
    """`squared_distances` of finite points, n > 0, that are known to fit into memory."""
    return squares_of_centred(np.ascontiguousarray(x - x[0]))


def squares_of_centred(x: Float64[ndarray, "n c"]) -> Float64[ndarray, "n n"]:
    """`squares_of` rows relative to the first one."""
    if len(x) <= MAX_POINTS:
        out = np.empty((len(x), len(x)))
        squares_kernel(x.ctypes.data, *x.shape, out.ctypes.data)
        return out
    if x.shape[1] < MIN_CHANNELS_FOR_GRAM:
        out = np.empty((len(x), len(x)))
        kernels.distances.direct(x, out)
        return out
    from scipy.linalg.blas import dsyrk  # scipy.linalg takes 0.1 s to import

    gram = dsyrk(1.0, x.T, trans=1, lower=1).T  # the diagonal and the entries to its right
    kernels.distances.from_gram(x, gram)
    return gram
