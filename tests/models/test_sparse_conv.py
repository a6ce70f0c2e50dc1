from collections.abc import Callable

import pytest
import torch

from tests.models.clouds import random_batch
from topokd.models.convolution import table as neighbour_table
from topokd.models.convolution.layer import (
    NeighbourMap,
    SubmanifoldConv,
    find_neighbours,
    find_neighbours_reference,
    submanifold_convolution,
)
from topokd.models.convolution.table import NeighbourTable, find_table

Find = Callable[[torch.Tensor, torch.Tensor, int], NeighbourMap | NeighbourTable]
both_ways = pytest.mark.parametrize("find", [find_neighbours, find_table], ids=["pairs", "table"])


def cloud_rows(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    sizes = batch["offset"].diff(prepend=torch.zeros(1, dtype=torch.int64))
    return torch.repeat_interleave(torch.arange(len(sizes)), sizes)


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_neighbours_equal_the_slow_twin(kernel_size: int) -> None:
    batch = random_batch(150, 90, 1, seed=kernel_size)
    cloud = cloud_rows(batch)
    neighbours = find_neighbours(batch["grid_coord"], cloud, kernel_size)
    found = {((0, 0, 0), i, i) for i in range(len(cloud))}
    for offset, (rows, others) in neighbours.pairs.items():
        for i, j in zip(rows.tolist(), others.tolist(), strict=True):
            found |= {(offset, i, j), (tuple(-d for d in offset), j, i)}
    assert found == find_neighbours_reference(batch["grid_coord"], cloud, kernel_size)
    assert neighbours.num_pairs == len(found)


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_the_table_equals_the_slow_twin(kernel_size: int) -> None:
    batch = random_batch(150, 90, 1, seed=kernel_size)
    cloud = cloud_rows(batch)
    found = find_table(batch["grid_coord"], cloud, kernel_size)
    steps = range(-(kernel_size // 2), kernel_size // 2 + 1)
    offsets = [(x, y, z) for x in steps for y in steps for z in steps]
    pairs = {
        (offset, i, int(j))
        for i, row in enumerate(found.table)
        for offset, j in zip(offsets, row, strict=True)
        if j < len(cloud)
    }
    assert pairs == find_neighbours_reference(batch["grid_coord"], cloud, kernel_size)
    assert found.num_pairs == len(pairs)
    if kernel_size == 5:
        assert torch.equal(found.smaller(3).table, find_table(batch["grid_coord"], cloud, 3).table)


def test_a_smaller_kernel_is_part_of_a_larger_one() -> None:
    batch = random_batch(200)
    cloud = cloud_rows(batch)
    small = find_neighbours(batch["grid_coord"], cloud, 5).smaller(3)
    direct = find_neighbours(batch["grid_coord"], cloud, 3)
    assert list(small.pairs) == list(direct.pairs)
    assert all(torch.equal(a, b) for d in direct.pairs for a, b in zip(small.pairs[d], direct.pairs[d], strict=True))


@both_ways
@pytest.mark.parametrize("bias", [True, False])
def test_convolution_equals_a_dense_one(bias: bool, find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_table, "_GATHERED", 50 * 27 * 5)  # several parts
    generator = torch.Generator().manual_seed(3)
    batch = random_batch(220)
    grid = batch["grid_coord"]
    feat = torch.randn(220, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    layer = SubmanifoldConv(5, 7, 3, bias=bias).double()
    weights = torch.randn(220, 7, dtype=torch.float64, generator=generator)

    ours = layer(feat, find(grid, torch.zeros(220, dtype=torch.int64), 3))
    ours_grads = torch.autograd.grad((ours * weights).sum(), [feat, *layer.parameters()])

    x, y, z = grid.unbind(1)
    dense = torch.zeros(1, 5, 24, 20, 8, dtype=torch.float64).index_put(
        (torch.tensor(0), torch.arange(5), x[:, None], y[:, None], z[:, None]), feat
    )
    kernel = layer.weight.permute(0, 4, 1, 2, 3)
    theirs = torch.nn.functional.conv3d(dense, kernel, layer.bias, padding=1)[0][:, x, y, z].t()
    theirs_grads = torch.autograd.grad((theirs * weights).sum(), [feat, *layer.parameters()])
    for a, b in zip((ours, *ours_grads), (theirs, *theirs_grads), strict=True):
        torch.testing.assert_close(a, b)


@both_ways
def test_gradients_of_gradients(find: Find) -> None:
    batch = random_batch(12, seed=5)
    neighbours = find(batch["grid_coord"] // 4, torch.arange(12), 3)
    dense = find(torch.cartesian_prod(*[torch.arange(2)] * 3), torch.zeros(8, dtype=torch.int64), 3)
    for found, n in ((neighbours, 12), (dense, 8)):
        feat = torch.randn(n, 2, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(3, 3, 3, 3, 2, dtype=torch.float64, requires_grad=True)
        call = lambda f, w, found=found: submanifold_convolution(f, w, None, found)  # noqa: E731
        assert torch.autograd.gradcheck(call, (feat, weight))
        assert torch.autograd.gradgradcheck(call, (feat, weight))


@both_ways
def test_autocast_computes_in_half_precision(find: Find) -> None:
    batch = random_batch(100)
    neighbours = find(batch["grid_coord"], torch.zeros(100, dtype=torch.int64), 3)
    layer = SubmanifoldConv(4, 6, 3)
    exact = layer(batch["feat"], neighbours)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(batch["feat"], neighbours)
    half.float().sum().backward()
    assert half.dtype == torch.bfloat16 and layer.weight.grad is not None
    torch.testing.assert_close(half.float(), exact, atol=0.05, rtol=0.05)
