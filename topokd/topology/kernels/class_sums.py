"""Sums of annotations over Z/2, in a bitset of classes (`scratch_sum`), and their way into the pool and back.

A substitute of many classes is stored as a bitset too: adding it takes one operation for 64 classes. This matters where
thousands of classes live at once, as in noise of high dimension: nearly all time went into such sums.
"""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.bitset import ONE, ZERO, highest_bit, lowest_bit, number_of_members
from topokd.topology.kernels.settings import jit_inline, jit_no_refcount
from topokd.topology.kernels.state import OUT_OF_SPACE, Annotations

MIN_DENSE = 64  # classes from which on an annotation may be stored as a bitset, if that takes at most twice the memory
WORDS_PER_ENTRY = 8  # words of a bitset that are added in the time of one class of a list, about


@jit_no_refcount
def top_word(annotations: Annotations, number: int) -> int:
    """Word of the bitset that the youngest class of an annotation is in; -1 if it is zero."""
    size = np.int64(annotations.length[number])
    if size > 0:
        return np.int64(annotations.pool[annotations.start[number] + size - 1] >> 6)  # type: ignore[return-value]
    return -1 - size  # type: ignore[return-value]


@jit_inline
def work_to_add(annotations: Annotations, number: int) -> int:
    """About the number of operations that it takes to add an annotation."""
    size = np.int64(annotations.length[number])
    return max(size, 1 - size // WORDS_PER_ENTRY)  # type: ignore[return-value]


@jit_no_refcount
def add_to_scratch(annotations: Annotations, number: int) -> int:
    """Add an annotation to the sum. Returns the work: about the number of operations."""
    pool, scratch_sum, words = annotations.pool, annotations.scratch_sum, annotations.words
    first, size = annotations.start[number], np.int64(annotations.length[number])
    if size >= 0:
        for k in range(first, first + size):
            scratch_sum[pool[k] >> 6] ^= ONE << np.uint64(pool[k] & 63)
        return size  # type: ignore[return-value]
    bits = words[first >> 1 : (first >> 1) - size]
    for w in range(bits.shape[0]):
        scratch_sum[w] ^= bits[w]
    return 1 - size // WORDS_PER_ENTRY  # type: ignore[return-value]


@jit_no_refcount
def substitute_dead(annotations: Annotations, top: int, most: int) -> tuple[int, int]:
    """Rewrite the sum in words 0 to `top` of scratch in living classes, youngest first.

    Returns their number, -1 if it was given up after more than `most` work; and the work.
    """
    scratch_sum, substitute = annotations.scratch_sum, annotations.substitute
    count, work = 0, 0
    for word in range(top, -1, -1):
        living = ZERO  # classes of this word known to live
        while scratch_sum[word] & ~living != ZERO:
            bit = highest_bit(scratch_sum[word] & ~living)
            equal = np.int64(substitute[word * 64 + bit])
            if equal < 0:
                living |= ONE << np.uint64(bit)
                count += 1
            else:
                scratch_sum[word] ^= ONE << np.uint64(bit)
                work += 1 + add_to_scratch(annotations, equal)
                if work > most:
                    return -1, work
    return count, work


@jit_no_refcount
def youngest_living(annotations: Annotations, top: int) -> tuple[int, int]:
    """Substitute classes of the sum in words 0 to `top`, youngest first, until the youngest class lives.

    The older ones may be dead: to substitute them as well would be in vain if the ones that live now die soon.

    Returns the youngest class, -1 if the sum is zero; and the work.
    """
    scratch_sum, substitute = annotations.scratch_sum, annotations.substitute
    work = 0
    for word in range(top, -1, -1):
        while scratch_sum[word] != ZERO:
            bit = highest_bit(scratch_sum[word])
            equal = np.int64(substitute[word * 64 + bit])
            if equal < 0:
                return word * 64 + bit, work
            scratch_sum[word] ^= ONE << np.uint64(bit)
            work += 1 + add_to_scratch(annotations, equal)
    return -1, work


@jit_no_refcount
def count_classes(annotations: Annotations, top: int) -> int:
    """Number of classes in words 0 to `top` of the sum."""
    count = 0
    for word in range(top + 1):
        count += number_of_members(annotations.scratch_sum[word])
    return count


@jit_no_refcount
def store(annotations: Annotations, number: int, top: int, count: int, may_be_dense: bool) -> int:
    """Write the sum, `count` classes in words 0 to `top`, as the annotation `number`, and clear scratch.

    Args:
        annotations: all of them.
        number: number of the annotation; what it was before is overwritten.
        top: highest word.
        count: number of classes.
        may_be_dense: whether it may become a bitset: `add` only takes lists.

    Returns:
        0 or OUT_OF_SPACE.
    """
    pool, words, scratch_sum = annotations.pool, annotations.words, annotations.scratch_sum
    start, length, counters = annotations.start, annotations.length, annotations.counters[0]
    dense = may_be_dense and count >= MIN_DENSE and count > top
    needed = 2 * (top + 1) if dense else count
    first, room = start[number], max(np.int64(length[number]), -2 * np.int64(length[number]))
    if needed > room or (dense and first & 1 != 0):
        first = counters.pool_used + (counters.pool_used & 1 if dense else 0)
        if first + needed > pool.shape[0]:
            clear_scratch(annotations, top)
            return OUT_OF_SPACE
        start[number], counters.pool_used = first, first + needed
    if dense:
        for word in range(top + 1):
            words[(first >> 1) + word] = scratch_sum[word]
            scratch_sum[word] = ZERO
        length[number] = -1 - top
        return 0
    length[number] = count
    for word in range(top + 1):
        left = scratch_sum[word]
        scratch_sum[word] = ZERO
        while left != ZERO:
            pool[first] = word * 64 + lowest_bit(left)
            first += 1
            left &= left - ONE
    return 0


@jit_no_refcount
def take_youngest(annotations: Annotations, number: int) -> int:
    """Take the youngest class out of an annotation that is not zero. Returns it."""
    first, size = annotations.start[number], np.int64(annotations.length[number])
    if size > 0:
        annotations.length[number] -= 1
        return np.int64(annotations.pool[first + size - 1])  # type: ignore[return-value]
    at = (first >> 1) - size - 1
    bit = highest_bit(annotations.words[at])
    annotations.words[at] ^= ONE << np.uint64(bit)
    return 64 * (-1 - size) + bit


@jit_no_refcount
def clear_scratch(annotations: Annotations, top: int) -> None:
    """Set the sum to zero; its classes are in words 0 to `top`."""
    for word in range(top + 1):
        annotations.scratch_sum[word] = ZERO
