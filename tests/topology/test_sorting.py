"""Stable sorting in compiled code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topokd.topology.kernels import sorting
from topokd.topology.kernels.settings import jit

pytestmark = pytest.mark.unit


@jit
def argsort(values):
    """The part of kernels, for Python."""
    return sorting.argsort(values)


@settings(deadline=None)  # the first call compiles
@given(
    count=st.one_of(st.integers(0, 4 * sorting.RUN + 1), st.integers(0, 5000)),
    different=st.integers(1, 10_000),
    dtype=st.sampled_from([np.float64, np.int64]),
    seed=st.integers(0, 2**32 - 1),
)
def test_argsort_equals_numpy_s_stable_argsort_with_many_ties(count, different, dtype, seed):
    values = np.random.default_rng(seed).integers(-different, different, count).astype(dtype)
    np.testing.assert_array_equal(argsort(values), np.argsort(values, kind="stable"))


def test_infinite_values_and_negative_zeros_are_sorted_stably():
    values = np.tile([np.inf, 0.0, -np.inf, -0.0, 1.0], 30)
    np.testing.assert_array_equal(argsort(values), np.argsort(values, kind="stable"))


def test_columns_of_a_matrix_are_sorted_without_a_copy():
    values = np.random.default_rng(0).normal(size=(100, 2))
    np.testing.assert_array_equal(argsort(values[:, 1]), np.argsort(values[:, 1], kind="stable"))
