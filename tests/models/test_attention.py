import pytest
import torch

from tests.gpu import needs_gpu
from tests.models.clouds import random_batch
from topokd.models import backends
from topokd.models.attention import PatchAttention, attention_reference
from topokd.models.backends import active_backends, segment_max
from topokd.models.blocks import Block
from topokd.models.serialization import CURVES, encode
from topokd.models.stage import Stage


def make_stage(*sizes: int, orders: tuple[str, ...] = CURVES) -> Stage:
    return Stage.from_voxels(random_batch(*sizes)["grid_coord"], sizes, orders, common_depth=False)[0]


@pytest.mark.parametrize("sizes", [(40,), (16, 50), (7, 33, 16), (1, 2)])
@pytest.mark.parametrize("block", [0, 3])
def test_attention_equals_the_slow_twin(sizes: tuple[int, ...], block: int) -> None:
    stage = make_stage(*sizes)
    layer = PatchAttention(12, 3).double()
    x = torch.randn(sum(sizes), 12, dtype=torch.float64, requires_grad=True)
    out = layer(x, stage.patches(block, 16, "per_cloud"))
    start, ranks = 0, []
    for n, depth in zip(sizes, stage.depth, strict=True):
        code = encode(stage.grid_coord[start : start + n], depth, CURVES[block])
        ranks.append(code.argsort().argsort())
        start += n
    qkv = layer.qkv(x).view(-1, 3, 3, 4)
    twin = layer.proj(attention_reference(qkv, torch.cat(ranks), sizes, 16))
    torch.testing.assert_close(out, twin)
    weights = torch.randn_like(out)
    ours, theirs = (torch.autograd.grad((y * weights).sum(), [x, *layer.parameters()]) for y in (out, twin))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_batch_patching_takes_the_smallest_cloud() -> None:
    stage = make_stage(20, 50)
    assert stage.patches(0, 16, "batch").size == 16
    patches = stage.patches(0, 1024, "batch")
    assert (patches.size, patches.num_full, patches.short) == (20, 4, ())
    assert (stage.patches(0, 1024, "per_cloud").short) == (20, 50)


def test_patches_cover_every_row_once() -> None:
    patches = make_stage(37, 70, 5).patches(2, 16, "per_cloud")
    assert sorted(patches.rows.take(patches.back).tolist()) == list(range(112))
    once = set(range(len(patches.rows))) - set(patches.repeated.tolist())
    assert sorted(patches.rows[sorted(once)].tolist()) == list(range(112))


@pytest.mark.parametrize("entries", [1, 16, 40, 64, 1000])
def test_runs_of_patches_are_the_patches(entries: int) -> None:
    patches = make_stage(37, 70, 5, 9).patches(2, 16, "per_cloud")
    runs = patches.split(entries)
    assert torch.equal(torch.cat([run.rows for run in runs]), patches.rows)
    assert sum(run.num_full for run in runs) == patches.num_full == 8
    assert sum((run.short for run in runs), ()) == patches.short == (5, 9)
    for run in runs:
        lengths = [run.size] * run.num_full + list(run.short)
        assert sum(lengths) == len(run.rows) and (len(run.rows) <= entries or len(lengths) == 1)
    assert len(runs) == {1: 10, 16: 9, 40: 5, 64: 3, 1000: 1}[entries]


@pytest.mark.parametrize("rows", [1, 20, 1000])
def test_inference_in_parts_is_inference(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Without gradients rows pass through the cache in parts, which must be seen in nothing but rounding."""
    torch.manual_seed(0)
    stage, x = make_stage(70, 7), torch.randn(77, 12)
    block = Block(12, 3, 16, 4, 0.3, "voxel", 1).eval()
    given, exact = x.clone(), block(x, stage, "per_cloud")
    asked = []
    monkeypatch.setattr(backends, "rows_at_once", lambda x, width: asked.append(width) or rows)
    with torch.no_grad():
        found = block(x, stage, "per_cloud")
    assert asked == [36, 48]
    torch.testing.assert_close(found, exact, atol=1e-6, rtol=1e-5)
    assert torch.equal(x, given)  # sums in place are in place of the block's own


def test_rows_at_once_are_all_where_parts_are_no_gain() -> None:
    x = torch.ones(10, 4)
    assert backends.rows_at_once(x, 64) is None  # gradients
    with torch.no_grad():
        assert backends.rows_at_once(x, 64) == 4096
        assert backends.rows_at_once(x, 10**9) == 1
        assert backends.rows_at_once(x.to("meta"), 64) is None


def test_heads_must_divide_channels() -> None:
    with pytest.raises(ValueError, match="10 channels"):
        PatchAttention(10, 3)


def test_segment_max_values_and_gradients() -> None:
    x = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    parent, first = torch.tensor([0, 0, 0, 1, 2, 2, 3, 3, 3]), torch.tensor([0, 3, 4, 6])
    out = segment_max(x, parent, first)
    twin = torch.stack([part.max(0).values for part in x.split([3, 1, 2, 3])])
    torch.testing.assert_close(out, twin)
    weights = torch.randn_like(out)
    ours, theirs = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (out, twin))
    torch.testing.assert_close(ours, theirs)


def test_backends_without_a_gpu_are_torch() -> None:
    if not torch.cuda.is_available():
        assert set(active_backends().values()) == {"torch"}


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_flash_attention_equals_torch_on_a_gpu(dtype: torch.dtype) -> None:
    stage = make_stage(40, 100, 7)  # the last is one short patch
    patches = Stage.patches(stage, 1, 16, "per_cloud")
    patches = type(patches)(
        patches.rows.cuda(), patches.back.cuda(), patches.repeated.cuda(), patches.size, patches.num_full, patches.short
    )
    qkv = torch.randn(len(patches.rows), 3, 2, 16, device="cuda", dtype=dtype, requires_grad=True)
    torch_out = backends.patch_attention(qkv, patches, "torch")
    if backends._flash_attn is None:
        pytest.skip("flash-attn is not installed")
    flash = backends.patch_attention(qkv, patches, "flash-attn")
    torch.testing.assert_close(flash.float(), torch_out.float(), atol=0.02, rtol=0.02)
    a, b = (torch.autograd.grad(y.float().square().sum(), qkv)[0].float() for y in (flash, torch_out))
    torch.testing.assert_close(a, b, atol=0.05, rtol=0.05)
