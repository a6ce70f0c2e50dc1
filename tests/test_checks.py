"""The finite check that readers, losses and networks share."""

import numpy as np
import pytest
import torch

from topokd.checks import first_nonfinite_row, require_finite
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
