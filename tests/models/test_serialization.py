from pathlib import Path

import pytest
import torch

from topokd.models.serialization import CURVES, encode


@pytest.mark.parametrize("curve", CURVES)
def test_codes_are_unique_and_pooling_is_a_shift_by_three_bits(curve: str) -> None:
    cells = torch.cartesian_prod(*[torch.arange(8)] * 3)
    codes = encode(cells, 3, curve)
    assert sorted(codes.tolist()) == list(range(512))
    assert torch.equal(codes >> 3, encode(cells >> 1, 2, curve))


def test_consecutive_voxels_on_the_hilbert_curve_touch() -> None:
    cells = torch.cartesian_prod(*[torch.arange(16)] * 3)
    walk = cells[torch.argsort(encode(cells, 4, "hilbert"))]
    assert (walk.diff(dim=0).abs().sum(1) == 1).all()


def test_an_unknown_curve_is_named() -> None:
    with pytest.raises(ValueError, match="peano"):
        encode(torch.zeros(1, 3, dtype=torch.int64), 1, "peano")


def test_codes_equal_those_of_the_published_code(shared: Path) -> None:
    case = torch.load(shared / "reference/ptv3/serialization_codes.pt", weights_only=True)
    for curve, codes in case["codes"].items():
        ours = case["batch"] << (3 * case["depth"]) | encode(case["grid_coord"], case["depth"], curve)
        assert torch.equal(ours, codes)
