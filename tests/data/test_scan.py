import numpy as np
import pytest

from topokd.data import Scan
from topokd.errors import DataError

XYZ, GREY = np.zeros((3, 3), np.float32), np.full(3, 0.5, np.float32)


def test_arrays_are_converted_to_the_declared_types() -> None:
    scan = Scan(XYZ.astype(np.float64), GREY.astype(np.float64), np.array([0, -1, 2], np.int8))
    assert (scan.xyz.dtype, scan.intensity.dtype, scan.label.dtype) == (np.float32, np.float32, np.int64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"xyz": np.zeros((0, 3)), "intensity": np.zeros(0)}, "no points; remove it"),
        ({"xyz": np.zeros((3, 2))}, r"shape \(3, 2\)"),
        ({"intensity": np.zeros(2)}, "intensity has shape"),
        ({"label": np.zeros(4)}, "label has shape"),
        ({"instance": np.zeros(4)}, "instance has shape"),
        ({"xyz": np.array([[0, 0, 0], [0, np.nan, 0], [0, 0, np.inf]])}, "xyz holds NaN or infinity, first in row 1"),
        ({"intensity": np.array([0, np.nan, 0])}, "intensity holds NaN or infinity, first in row 1 of 3"),
        ({"label": np.array([0, -2, 3])}, "label runs from -2 to 3, expected -1"),
        ({"label": np.array([0, -(2**40), 3])}, "label runs from -1099511627776"),
        ({"label": np.array([0, 2**40, 3])}, "to 1099511627776, expected .*map raw ids to classes"),
        ({"intensity": np.array([0, 255, 0])}, "divide it by its full scale"),
    ],
)
@pytest.mark.invalid_arguments
def test_bad_arrays_are_named(change: dict, message: str) -> None:
    with pytest.raises(DataError, match=f"scan 08/000004: .*{message}"):
        Scan(**({"xyz": XYZ, "intensity": GREY, "name": "08/000004"} | change))
