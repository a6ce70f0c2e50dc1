from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from topokd.models.serialization import CURVES, MAX_DEPTH, encode, encode_reference


@settings(max_examples=60, deadline=None)
@given(st.integers(1, MAX_DEPTH), st.sampled_from(CURVES), st.data())
def test_codes_equal_the_slow_twin(depth: int, curve: str, data: st.DataObject) -> None:
    coordinate = st.integers(0, 2**depth - 1)
    voxels = data.draw(st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=1, max_size=20))
    codes = encode(torch.tensor(voxels), depth, curve)
    assert codes.tolist() == [encode_reference(voxel, depth, curve) for voxel in voxels]


@pytest.mark.parametrize("curve", CURVES)
def test_every_cell_has_its_own_code_and_pooling_is_a_shift(curve: str) -> None:
    cells = torch.cartesian_prod(*[torch.arange(8)] * 3)
    codes = encode(cells, 3, curve)
    assert sorted(codes.tolist()) == list(range(512))
    assert torch.equal(codes >> 3, encode(cells >> 1, 2, curve))


def test_hilbert_neighbours_touch() -> None:
    cells = torch.cartesian_prod(*[torch.arange(16)] * 3)
    walk = cells[torch.argsort(encode(cells, 4, "hilbert"))]
    assert (walk.diff(dim=0).abs().sum(1) == 1).all()


def test_depth_may_differ_from_voxel_to_voxel() -> None:
    cells = torch.randint(0, 4, (50, 3), generator=torch.Generator().manual_seed(0))
    depth = torch.arange(50) % 9 + 2
    mixed = encode(cells, depth, "hilbert-trans")
    assert mixed.tolist() == [
        encode_reference(tuple(c), d, "hilbert-trans") for c, d in zip(cells.tolist(), depth.tolist(), strict=True)
    ]


def test_unknown_curve_is_named() -> None:
    with pytest.raises(ValueError, match="peano"):
        encode(torch.zeros(1, 3, dtype=torch.int64), 1, "peano")


def test_codes_of_the_reference(shared: Path) -> None:
    case = torch.load(shared / "reference/ptv3/serialization_codes.pt", weights_only=True)
    for curve, codes in case["codes"].items():
        ours = case["batch"] << (3 * case["depth"]) | encode(case["grid_coord"], case["depth"], curve)
        assert torch.equal(ours, codes)
