"""Norms of the plane that matchings of diagrams measure with, and their slopes."""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.settings import jit_no_refcount

DIAGONAL = -1  # the mate of a point that goes to the diagonal


@jit_no_refcount
def ground(db, dd, p):  # type: ignore[no-untyped-def]
    """The p-norm of (db, dd)."""
    db, dd = abs(db), abs(dd)
    if p == np.inf:
        return max(db, dd)
    if p == 1.0:
        return db + dd
    if p == 2.0:
        return np.sqrt(db * db + dd * dd)
    most = max(db, dd)
    return most * ((db / most) ** p + (dd / most) ** p) ** (1.0 / p) if most > 0 else 0.0


@jit_no_refcount
def raised(x, order):  # type: ignore[no-untyped-def]
    """x ** order, for order >= 1."""
    if order == 1.0:
        return x
    if order == 2.0:
        return x * x
    return x**order


@jit_no_refcount
def slope(own, other, norm, p):  # type: ignore[no-untyped-def]
    """Derivative of the p-norm of (own, other) in its first argument; of two equal maxima each has half."""
    sign = np.sign(own)
    if p == np.inf:
        if abs(own) > abs(other):
            return sign
        return sign / 2 if abs(own) == abs(other) else 0.0
    if p == 1.0:
        return sign
    return sign * (abs(own) / norm) ** (p - 1.0)
