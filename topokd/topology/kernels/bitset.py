"""Bitsets: 64 members to a word, member m is bit m & 63 of word m >> 6."""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.settings import jit_inline, jit_no_refcount

ONE = np.uint64(1)
ZERO = np.uint64(0)
_DEBRUIJN = np.uint64(0x03F79D71B4CB0A89)
_BIT_OF_HASH = np.zeros(64, np.int64)
for _bit in range(64):
    _BIT_OF_HASH[((1 << _bit) * int(_DEBRUIJN) % (1 << 64)) >> 58] = _bit


@jit_inline
def lowest_bit(word: np.uint64) -> int:
    """Index of the lowest set bit of a word that is not zero (de Bruijn hashing: Numba has no count-trailing-zeros)."""
    return _BIT_OF_HASH[((word & (~word + ONE)) * _DEBRUIJN) >> np.uint64(58)]


@jit_inline
def highest_bit(word: np.uint64) -> int:
    """Index of the highest set bit of a word that is not zero."""
    word |= word >> ONE
    word |= word >> np.uint64(2)
    word |= word >> np.uint64(4)
    word |= word >> np.uint64(8)
    word |= word >> np.uint64(16)
    word |= word >> np.uint64(32)
    return _BIT_OF_HASH[((word ^ word >> ONE) * _DEBRUIJN) >> np.uint64(58)]


@jit_inline
def number_of_members(word: np.uint64) -> int:
    """Number of set bits, by sums of 2, 4 and 8 bits."""
    word = word - (word >> ONE & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (word >> np.uint64(2) & np.uint64(0x3333333333333333))
    word = word + (word >> np.uint64(4)) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64(word * np.uint64(0x0101010101010101) >> np.uint64(56))  # type: ignore[return-value]


@jit_no_refcount
def lowest_member(bits: np.ndarray) -> int:
    """The lowest member of a bitset, -1 if it is empty."""
    for w in range(bits.shape[0]):
        if bits[w] != ZERO:
            return w * 64 + lowest_bit(bits[w])
    return -1
