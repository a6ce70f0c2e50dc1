from collections.abc import Callable

import pytest
import torch

from tests.models.clouds import random_batch
from topokd.models.convolution import table as table_module
from topokd.models.convolution.layer import NeighbourCache, SubmanifoldConv, submanifold_convolution
from topokd.models.convolution.neighbours import Neighbours
from topokd.models.convolution.pairs import NeighbourPairs, find_pairs
from topokd.models.convolution.table import find_table

Find = Callable[[torch.Tensor, torch.Tensor, int], Neighbours]
both_backends = pytest.mark.parametrize("find", [find_pairs, find_table], ids=["pairs", "table"])


def test_the_neighbours_of_a_smaller_kernel_are_part_of_a_larger_ones() -> None:
    batch = random_batch(200)
    cloud = torch.zeros(200, dtype=torch.int64)
    large, small = (find_pairs(batch["grid_coord"], cloud, k) for k in (5, 3))
    assert list(large.smaller(3).pairs) == list(small.pairs)
    for offset, (rows, others) in large.smaller(3).pairs.items():
        assert torch.equal(rows, small.pairs[offset][0]) and torch.equal(others, small.pairs[offset][1])
    table = find_table(batch["grid_coord"], cloud, 5)
    assert torch.equal(table.smaller(3).table, find_table(batch["grid_coord"], cloud, 3).table)


def test_neighbours_are_found_once_per_stage() -> None:
    cache = NeighbourCache(random_batch(50)["grid_coord"], torch.zeros(50, dtype=torch.int64))
    large, small = cache.find(5), cache.find(3)
    assert cache.find(5) is large and cache.find(3, "auto") is small
    assert isinstance(large, NeighbourPairs) and small.num_pairs < large.num_pairs


def test_a_grid_beyond_64_bits_raises() -> None:
    grid = torch.tensor([[2**21 - 1] * 3])
    with pytest.raises(OverflowError, match="64-bit"):
        find_pairs(grid, torch.tensor([3]), 3)


@both_backends
@pytest.mark.parametrize("bias", [True, False])
def test_convolution_equals_a_dense_one(bias: bool, find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "MAX_GATHERED", 50 * 27 * 5)  # several chunks
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


@both_backends
def test_second_derivatives_equal_finite_differences(find: Find) -> None:
    batch = random_batch(12, seed=5)
    neighbours = find(batch["grid_coord"] // 4, torch.arange(12), 3)
    dense = find(torch.cartesian_prod(*[torch.arange(2)] * 3), torch.zeros(8, dtype=torch.int64), 3)
    for neighbourhood, n in ((neighbours, 12), (dense, 8)):
        feat = torch.randn(n, 2, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(3, 3, 3, 3, 2, dtype=torch.float64, requires_grad=True)
        call = lambda f, w, neighbourhood=neighbourhood: submanifold_convolution(f, w, None, neighbourhood)  # noqa: E731
        assert torch.autograd.gradcheck(call, (feat, weight))
        assert torch.autograd.gradgradcheck(call, (feat, weight))


@both_backends
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
