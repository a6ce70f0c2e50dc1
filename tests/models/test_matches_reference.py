"""Every fast function against its slow twin in ``topokd.models.reference``: values and gradients."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.clouds import random_batch, random_cloud
from topokd.models import blocks, reference, serialization
from topokd.models.attention import patch_attention
from topokd.models.convolution.layer import submanifold_convolution
from topokd.models.convolution.neighbours import count_pairs
from topokd.models.convolution.pairs import NeighbourPairs, find_pairs
from topokd.models.convolution.table import find_table
from topokd.models.patches import Patches, layout_patches
from topokd.models.serialization import CURVES, MAX_DEPTH

Case = tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...]]


def random_tensor(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def convolution_by(find: Callable[..., Any], bias: bool) -> Case:
    grid, _ = random_cloud(40, 3)
    cloud = torch.tensor([0, 1]).repeat_interleave(20)
    fast, slow = find(grid, cloud, 3), reference.find_table(grid, cloud, 3)
    tensors = (random_tensor(40, 5), random_tensor(7, 3, 3, 3, 5, seed=1), random_tensor(7, seed=2) if bias else None)
    return (
        lambda *leaves: submanifold_convolution(*leaves, fast),
        lambda *leaves: reference.submanifold_convolution(*leaves, slow),
        tensors,
    )


def attention_on(*sizes: int) -> Case:
    patches = layout_patches(sizes, 16, torch.device("cpu")).along(torch.arange(sum(sizes)))
    qkv = random_tensor(len(patches.rows), 3, 2, 4)
    return (lambda x: patch_attention(x, patches)), (lambda x: reference.patch_attention(x, patches)), (qkv,)


def segments(*lengths: int) -> Case:
    parent = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    first = torch.tensor([0, *lengths[:-1]]).cumsum(0)
    x = random_tensor(sum(lengths), 4)
    return (
        (lambda x: blocks.segment_max(x, parent, first)),
        (lambda x: reference.segment_max(x, parent, first)),
        (x,),
    )


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(convolution_by(find_pairs, bias=True), id="convolution-pairs"),
        pytest.param(convolution_by(find_pairs, bias=False), id="convolution-pairs-no-bias"),
        pytest.param(convolution_by(find_table, bias=True), id="convolution-table"),
        pytest.param(convolution_by(find_table, bias=False), id="convolution-table-no-bias"),
        pytest.param(attention_on(40), id="attention-one-cloud"),
        pytest.param(attention_on(7, 33, 16), id="attention-short-and-full"),
        pytest.param(attention_on(1, 2), id="attention-short-only"),
        pytest.param(segments(3, 1, 2, 3), id="segment-max"),
    ],
)
def test_matches_reference(case: Case) -> None:
    fast, slow, tensors = case
    results = []
    for function in (fast, slow):
        leaves = [None if t is None else t.clone().requires_grad_() for t in tensors]
        out = function(*leaves)
        weights = random_tensor(*out.shape, seed=9)
        gradients = torch.autograd.grad((out * weights).sum(), [leaf for leaf in leaves if leaf is not None])
        results.append([out, *gradients])
    for ours, twin in zip(*results, strict=True):
        torch.testing.assert_close(ours, twin)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, MAX_DEPTH), st.sampled_from(CURVES), st.data())
def test_encode_matches_reference(depth: int, curve: str, data: st.DataObject) -> None:
    coordinate = st.integers(0, 2**depth - 1)
    voxels = torch.tensor(data.draw(st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=1, max_size=20)))
    assert torch.equal(serialization.encode(voxels, depth, curve), reference.encode(voxels, depth, curve))


def test_encode_matches_reference_for_depths_that_differ_from_voxel_to_voxel() -> None:
    cells = torch.randint(0, 4, (50, 3), generator=torch.Generator().manual_seed(0))
    depth = torch.arange(50) % 9 + 2
    fast, slow = (f(cells, depth, "hilbert-trans") for f in (serialization.encode, reference.encode))
    assert torch.equal(fast, slow)


def sorted_pairs(neighbours: NeighbourPairs) -> dict[tuple[int, int, int], list[tuple[int, int]]]:
    return {d: sorted(zip(i.tolist(), j.tolist(), strict=True)) for d, (i, j) in neighbours.pairs.items()}


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_neighbours_match_reference(kernel_size: int) -> None:
    batch = random_batch(150, 90, 1, seed=kernel_size)
    grid, cloud = batch["grid_coord"], torch.arange(3).repeat_interleave(torch.tensor([150, 90, 1]))
    table = find_table(grid, cloud, kernel_size)
    assert torch.equal(table.table, reference.find_table(grid, cloud, kernel_size).table)
    pairs = find_pairs(grid, cloud, kernel_size)
    assert sorted_pairs(pairs) == sorted_pairs(reference.find_pairs(grid, cloud, kernel_size))
    assert table.num_pairs == pairs.num_pairs == count_pairs(grid, cloud, kernel_size)
    assert table.num_pairs > len(cloud)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(1, 24), st.integers(0, 2**31))
def test_patches_match_reference(sizes: list[int], patch_size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    order = torch.cat([s + torch.randperm(n, generator=generator) for s, n in zip(starts, sizes, strict=True)])
    fast: Patches = layout_patches(tuple(sizes), patch_size, torch.device("cpu")).along(order)
    slow = reference.make_patches(order, tuple(sizes), patch_size)
    assert all(torch.equal(getattr(fast, name), getattr(slow, name)) for name in ("rows", "back", "repeated"))
    assert (fast.size, fast.num_full, fast.short) == (slow.size, slow.num_full, slow.short)
