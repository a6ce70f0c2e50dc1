"""Pairwise squared distances: the Gram matrix, corrected where its terms cancel."""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.settings import compiled, jit_part

# A squared distance below this share of the squared norms has lost 5 of its 16 digits and is summed directly.
CANCELLATION = 1e-5
TILE = 64  # rows and columns of a block; the part below the diagonal is mirrored from a buffer that fits the cache


@compiled(fastmath={"reassoc", "contract", "nsz"})
def direct(x: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` (n, n) with the squared distances of the rows of `x` (n, c), coordinate by coordinate."""
    n, c = x.shape
    by_coordinate = np.empty((c, n))
    for i in range(n):
        for k in range(c):
            by_coordinate[k, i] = x[i, k]
    tile = np.empty((TILE, TILE))
    for top in range(0, n, TILE):
        for left in range(top, n, TILE):
            for i in range(top, min(top + TILE, n)):
                row = tile[i - top, : min(TILE, n - left)]
                for j in range(row.shape[0]):
                    row[j] = 0.0
                for k in range(c):
                    own, others = x[i, k], by_coordinate[k, left : left + row.shape[0]]
                    for j in range(row.shape[0]):
                        row[j] += (own - others[j]) * (own - others[j])
            _write_tile(tile, out, top, left)


@compiled(fastmath={"reassoc", "contract", "nsz"})
def from_gram(x: np.ndarray, gram: np.ndarray) -> None:
    """Turn `gram` = x x^T (n, n) into squared distances in place; pairs that cancel are summed by coordinate.

    Only the diagonal of `gram` and the entries to its right are read.
    """
    n, c = x.shape
    norm = np.empty(n)
    for i in range(n):
        norm[i] = gram[i, i]
    tile = np.empty((TILE, TILE))
    for top in range(0, n, TILE):
        for left in range(top, n, TILE):
            for i in range(top, min(top + TILE, n)):
                row = tile[i - top, : min(TILE, n - left)]
                products, norms = gram[i, left : left + row.shape[0]], norm[left : left + row.shape[0]]
                own, cancelled = norm[i], 0
                for j in range(row.shape[0]):
                    value = own + norms[j] - 2.0 * products[j]
                    row[j] = value
                    cancelled += value < CANCELLATION * (own + norms[j])
                for j in range(row.shape[0] if cancelled > 0 else 0):
                    if row[j] < CANCELLATION * (own + norms[j]):
                        row[j] = 0.0
                        for k in range(c):
                            row[j] += (x[i, k] - x[left + j, k]) * (x[i, k] - x[left + j, k])
            _write_tile(tile, gram, top, left)


@jit_part
def _write_tile(tile: np.ndarray, out: np.ndarray, top: int, left: int) -> None:
    """Copy a tile on or right of the diagonal to its place and, mirrored, below the diagonal."""
    n = out.shape[0]
    high, wide = min(TILE, n - top), min(TILE, n - left)
    if top == left:
        for i in range(high):
            tile[i, i] = 0.0
            for j in range(i):
                tile[i, j] = tile[j, i]
    for i in range(high):
        for j in range(wide):
            out[top + i, left + j] = tile[i, j]
    for j in range(wide if top != left else 0):
        row = out[left + j, top : top + high]
        for i in range(high):
            row[i] = tile[i, j]
