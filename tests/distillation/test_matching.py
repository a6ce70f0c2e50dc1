from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topokd.distillation import match_rows
from topokd.errors import DataError


def tap(grid: torch.Tensor, offsets: list[int], feat: torch.Tensor | None = None) -> SimpleNamespace:
    feat = torch.zeros(len(grid), 2) if feat is None else feat
    return SimpleNamespace(feat=feat, grid_coord=grid, offsets=torch.tensor(offsets))


def clouds(generator: torch.Generator, sizes: list[int]) -> torch.Tensor:
    """Distinct voxels in each cloud; different clouds share voxels."""
    grids = []
    for size in sizes:
        code = torch.randperm(7 * 5 * 3, generator=generator)[:size]
        grids.append(torch.stack([code // 15, code // 3 % 5, code % 3], 1))
    return torch.cat(grids)


def shuffled(tap_: SimpleNamespace, generator: torch.Generator) -> SimpleNamespace:
    """The same rows in another order inside each cloud."""
    ends = tap_.offsets.tolist()
    order = [
        begin + torch.randperm(end - begin, generator=generator)
        for begin, end in zip([0, *ends[:-1]], ends, strict=True)
    ]
    index = torch.cat(order)
    return tap(tap_.grid_coord[index], ends, tap_.feat[index])


@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(0, 2**31))
def test_rows_are_matched_in_any_order(sizes: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    grid = clouds(generator, sizes)
    offsets = torch.tensor(sizes).cumsum(0).tolist()
    feat = torch.randn(len(grid), 3, generator=generator)
    student = shuffled(tap(grid, offsets, feat), generator)
    teacher = shuffled(tap(grid, offsets, feat), generator)
    index = match_rows(teacher, student)
    assert torch.equal(teacher.grid_coord[index], student.grid_coord)
    assert torch.equal(teacher.feat[index], student.feat)  # also tells clouds with the same voxel apart


def test_a_voxel_of_one_network_only_is_an_error() -> None:
    grid = torch.tensor([[0, 0, 0], [1, 0, 0], [2, 0, 0]])
    other = grid.clone()
    other[1, 2] = 4
    with pytest.raises(DataError, match=r"different voxels.*\[1, 0, 0\]"):
        match_rows(tap(other, [3]), tap(grid, [3]))


def test_a_voxel_in_another_cloud_is_an_error() -> None:
    grid = torch.tensor([[0, 0, 0], [1, 0, 0], [2, 0, 0]])
    with pytest.raises(DataError, match="different voxels"):
        match_rows(tap(grid, [1, 3]), tap(grid, [2, 3]))


def test_different_numbers_of_voxels_are_an_error() -> None:
    grid = torch.tensor([[0, 0, 0], [1, 0, 0]])
    with pytest.raises(DataError, match="1 rows and the student's 2, one for each voxel, point or pixel"):
        match_rows(tap(grid[:1], [1]), tap(grid, [2]))


def test_a_duplicate_voxel_is_an_error() -> None:
    grid = torch.tensor([[1, 0, 0], [0, 0, 0], [1, 0, 0]])
    with pytest.raises(DataError, match="twice"):
        match_rows(tap(grid, [3]), tap(grid[[0, 2, 1]], [3]))


def test_stray_voxels_are_an_error_not_an_overflow() -> None:
    grid = torch.tensor([[0, 0, 0], [2**22, 2**22, 2**22]])
    with pytest.raises(DataError, match="too far"):
        match_rows(tap(grid.flip(0), [2]), tap(grid, [2]))
