"""Pairwise squared distances: the Gram matrix corrected where it cancels."""

from __future__ import annotations

import numpy as np
from numba import njit

CLOSE = 1e-5  # a squared distance below this share of the squared norms has lost 5 of its 16 digits: computed again


TILE = 64  # rows and columns worked on at a time: both halves of the matrix are written while they are in the cache


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def direct(x: np.ndarray, out: np.ndarray) -> None:
    """Fill ``out`` (n, n) with the squared distances of the rows of ``x`` (n, c), coordinate by coordinate."""
    n, c = x.shape
    for top in range(0, n, TILE):
        for left in range(0, top + 1, TILE):
            for i in range(top, min(top + TILE, n)):
                for j in range(left, min(left + TILE, i)):
                    total = 0.0
                    for k in range(c):
                        difference = x[i, k] - x[j, k]
                        total += difference * difference
                    out[i, j] = total
                    out[j, i] = total
    for i in range(n):
        out[i, i] = 0.0


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def from_gram(x: np.ndarray, gram: np.ndarray) -> None:
    """Turn ``gram`` = x x^T (n, n) into squared distances in place; pairs that cancel are computed coordinate-wise."""
    n, c = x.shape
    norm = np.empty(n)
    for i in range(n):
        norm[i] = gram[i, i]
    for top in range(0, n, TILE):
        for left in range(0, top + 1, TILE):
            for i in range(top, min(top + TILE, n)):
                for j in range(left, min(left + TILE, i)):
                    norms = norm[i] + norm[j]
                    value = norms - 2.0 * gram[i, j]
                    if value < CLOSE * norms:
                        value = 0.0
                        for k in range(c):
                            difference = x[i, k] - x[j, k]
                            value += difference * difference
                    gram[i, j] = value
                    gram[j, i] = value
    for i in range(n):
        gram[i, i] = 0.0
