"""Sums of annotations in a bitset, with dead classes replaced: compared with sets of Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topokd.topology.kernels import annotations as lists
from topokd.topology.kernels import class_sums, state
from topokd.topology.kernels.settings import jit

pytestmark = pytest.mark.unit
CLASSES = 700  # eleven words: from 12 classes per word on, lists become bitsets


@jit
def prepared(classes):
    """Annotations with so many living classes, of which none is in a sum yet; annotation k + 1 is class k."""
    made = state.initial_annotations()
    for k in range(classes):
        while lists.create_class(made, k, k + 1) == state.OUT_OF_SPACE:
            made = state.grow(made)
    return made


@jit
def kill(made, members):
    """Kill the youngest class of a sum of classes; returns the annotations and it, -1 if the sum is zero."""
    while True:
        for k in members:
            class_sums.add_to_scratch(made, k + 1)
        top = made.substitute.shape[0] // 64 - 1
        youngest, _ = class_sums.youngest_living(made, top)
        if youngest < 0:
            return made, youngest
        number, count = made.counters[0].annotations, class_sums.count_classes(made, youngest >> 6)
        full = number == made.start.shape[0]
        if full:
            class_sums.clear_scratch(made, youngest >> 6)
        elif class_sums.store(made, number, youngest >> 6, count, True) == 0:
            made.counters[0].annotations += 1
            lists.kill_class(made, number, 0, 1, 2)
            return made, youngest
        made = state.grow(made)


@jit
def compacted(made):
    """Substitutes rewritten in living classes, and gaps closed."""
    made.counters[0].work_in_vain = 1 << 40
    while lists.refresh_substitutes(made) == state.OUT_OF_SPACE:
        made = state.grow(made)
    state.compact(made)
    return made


def members_of(made: state.Annotations, number: int) -> set[int]:
    first, size = made.start[number], int(made.length[number])
    if size >= 0:
        listed = made.pool[first : first + size].tolist()
        assert listed == sorted(set(listed))
        return set(listed)
    assert first % 2 == 0
    words = made.words[first // 2 : first // 2 - size]
    return set(np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).tolist())


class Sets:
    """The slow twin: relations among classes, each reduced by those before it."""

    def __init__(self) -> None:
        self.substitute: dict[int, set[int]] = {}

    def living(self, members: set[int]) -> set[int]:
        while dead := members & self.substitute.keys():
            members = members ^ {max(dead)} ^ self.substitute[max(dead)]
        return members

    def kill(self, members: set[int]) -> int:
        members = self.living(members)
        if not members:
            return -1
        self.substitute[max(members)] = members - {max(members)}
        return max(members)


@settings(max_examples=40, deadline=None)  # the first call compiles
@given(
    seed=st.integers(0, 2**32 - 1),
    share=st.sampled_from([0.005, 0.05, 0.3]),
    deaths=st.integers(1, 300),
    compact_every=st.sampled_from([7, 50, 1000]),
)
def test_substituted_sums_equal_those_of_plain_sets(seed: int, share: float, deaths: int, compact_every: int) -> None:
    rng = np.random.default_rng(seed)
    made, twin = prepared(CLASSES), Sets()
    for turn in range(deaths):
        members = rng.random(CLASSES) < share
        made, youngest = kill(made, np.flatnonzero(members))
        assert youngest == twin.kill(set(np.flatnonzero(members).tolist()))
        if turn % compact_every == compact_every - 1:
            made = compacted(made)
    made = compacted(made)
    assert not made.scratch_sum.any()
    for number, substitute in twin.substitute.items():
        assert members_of(made, int(made.substitute[number])) == twin.living(substitute)
    assert made.counters[0]["deaths"] == len(twin.substitute)


def test_many_classes_are_stored_as_a_bitset_and_few_as_a_list() -> None:
    made, _ = kill(prepared(CLASSES), np.arange(0, CLASSES, 2))
    assert made.length[made.substitute[698]] == -11 and members_of(made, made.substitute[698]) == set(range(0, 698, 2))
    made, _ = kill(made, np.arange(1, 60))
    assert made.length[made.substitute[59]] == 58


def test_bits_are_counted_and_the_highest_is_found() -> None:
    rng = np.random.default_rng(0)
    words = [1, 2**63, 2**64 - 1, *rng.integers(1, 2**63, size=200).tolist(), *(1 << k for k in range(64))]

    for word in words:
        assert bits(np.uint64(word)) == (word.bit_length() - 1, word.bit_count())


@jit
def bits(word):
    """The helpers, for Python."""
    return class_sums.highest_bit(word), class_sums.number_of_members(word)
