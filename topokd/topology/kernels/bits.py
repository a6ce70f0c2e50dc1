"""Bitsets: 64 members to a word, member m at bit m & 63 of word m >> 6."""

from __future__ import annotations

import numpy as np
from numba import njit

from topokd.topology.kernels import borrowing

ONE = np.uint64(1)
ZERO = np.uint64(0)
_DEBRUIJN = np.uint64(0x03F79D71B4CB0A89)
_PLACES = np.zeros(64, np.int64)
for _bit in range(64):
    _PLACES[((1 << _bit) * int(_DEBRUIJN) % (1 << 64)) >> 58] = _bit


@njit(cache=True, nogil=True, inline="always")
def lowest(word):  # type: ignore[no-untyped-def]
    """Index of the lowest set bit of a word that is not zero."""
    return _PLACES[((word & (~word + ONE)) * _DEBRUIJN) >> np.uint64(58)]


@borrowing
def lowest_member(bits):  # type: ignore[no-untyped-def]
    """The lowest member of a bitset, -1 where there is none."""
    for w in range(bits.shape[0]):
        if bits[w] != ZERO:
            return w * 64 + lowest(bits[w])
    return -1
