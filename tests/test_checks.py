"""The checks of values and memory that readers, losses and networks share."""

import numpy as np
import pytest
import torch

from topokd import checks
from topokd.checks import available_memory, first_nonfinite_row, require_finite, require_memory
from topokd.errors import DataError


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 2, 2)])
def test_the_first_row_with_a_nonfinite_value_is_named(make, bad, shape) -> None:
    values = np.zeros(shape)
    assert first_nonfinite_row(make(values)) is None
    require_finite(make(values), "feat")
    values[3:] = bad
    assert first_nonfinite_row(make(values)) == 3
    with pytest.raises(DataError, match="^feat holds NaN or infinity, first in row 3 of 5: lower the step size$"):
        require_finite(make(values), "feat", "lower the step size")


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_an_empty_input_is_finite(make) -> None:
    assert first_nonfinite_row(make(np.zeros((0, 3)))) is None


def test_available_memory_is_below_the_limit_of_the_process(monkeypatch) -> None:
    resource = pytest.importorskip("resource")
    free = available_memory()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1, 1))  # less than the process has already
    assert free is not None and free > 0 and available_memory() == 0


@pytest.mark.parametrize(
    ("needed", "available", "raises"),
    [(10**9 + 1, 10**9, True), (10**9, 10**9, False), (10**9, None, False), (10**6, 0, False)],
)
def test_only_large_requests_beyond_the_known_memory_are_rejected(monkeypatch, needed, available, raises) -> None:
    monkeypatch.setattr(checks, "available_memory", lambda: available)
    if not raises:
        return require_memory(needed, "a table", "ask for less")
    with pytest.raises(
        DataError, match=r"^a table needs 1\.0 GB of memory, but only 1\.0 GB are available: ask for less$"
    ):
        require_memory(needed, "a table", "ask for less")
