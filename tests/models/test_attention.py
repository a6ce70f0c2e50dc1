import dataclasses

import pytest
import torch

from tests.gpu import needs_gpu
from tests.models.clouds import random_batch
from topokd.models import attention, backends, blocks
from topokd.models.attention import PatchAttention, patch_attention
from topokd.models.blocks import Block
from topokd.models.chunks import rows_per_chunk
from topokd.models.info import active_backends
from topokd.models.serialization import CURVES, encode
from topokd.models.stage import StageGeometry


def make_stage(*sizes: int, orders: tuple[str, ...] = CURVES) -> StageGeometry:
    return StageGeometry.from_voxels(random_batch(*sizes)["grid_coord"], sizes, orders, common_depth=False)[0]


def attend_row_by_row(qkv: torch.Tensor, rank: torch.Tensor, sizes: tuple[int, ...], patch_size: int) -> torch.Tensor:
    """From the definition, without patches: ``rank`` is the position of each row on the curve inside its cloud."""
    out, start = [], 0
    for n in sizes:
        place = rank[start : start + n].tolist()
        q, k, v = qkv[start : start + n].unbind(1)
        for row in range(n):
            first = min(place[row] // patch_size * patch_size, max(n - patch_size, 0))
            seen = [r for r in range(n) if first <= place[r] < first + patch_size]
            logits = torch.einsum("hd,rhd->hr", q[row], k[seen]) / q.shape[-1] ** 0.5
            out.append(torch.einsum("hr,rhd->hd", logits.softmax(1), v[seen]).reshape(-1))
        start += n
    return torch.stack(out)


@pytest.mark.parametrize("sizes", [(40,), (16, 50), (7, 33, 16), (1, 2)])
@pytest.mark.parametrize("block", [0, 3])
def test_attention_of_a_stage_equals_its_definition_row_by_row(sizes: tuple[int, ...], block: int) -> None:
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
    twin = layer.proj(attend_row_by_row(qkv, torch.cat(ranks), sizes, 16))
    torch.testing.assert_close(out, twin)
    weights = torch.randn_like(out)
    ours, theirs = (torch.autograd.grad((y * weights).sum(), [x, *layer.parameters()]) for y in (out, twin))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_batch_patching_limits_patches_to_the_smallest_cloud() -> None:
    stage = make_stage(20, 50)
    assert stage.patches(0, 16, "batch").size == 16
    patches = stage.patches(0, 1024, "batch")
    assert (patches.size, patches.num_full, patches.short) == (20, 4, ())
    assert stage.patches(0, 1024, "per_cloud").short == (20, 50)


def test_patches_cover_every_row_once() -> None:
    patches = make_stage(37, 70, 5).patches(2, 16, "per_cloud")
    assert sorted(patches.rows.take(patches.back).tolist()) == list(range(112))
    once = set(range(len(patches.rows))) - set(patches.repeated.tolist())
    assert sorted(patches.rows[sorted(once)].tolist()) == list(range(112))


@pytest.mark.parametrize("entries", [1, 16, 40, 64, 1000])
def test_chunks_hold_whole_patches_and_all_of_them(entries: int) -> None:
    patches = make_stage(37, 70, 5, 9).patches(2, 16, "per_cloud")
    chunks = patches.split(entries)
    assert torch.equal(torch.cat([chunk.rows for chunk in chunks]), patches.rows)
    assert sum(chunk.num_full for chunk in chunks) == patches.num_full == 8
    assert sum((chunk.short for chunk in chunks), ()) == patches.short == (5, 9)
    for chunk in chunks:
        assert sum(chunk.lengths) == len(chunk.rows)
        assert len(chunk.rows) <= entries or len(chunk.lengths) == 1
    assert len(chunks) == {1: 10, 16: 9, 40: 5, 64: 3, 1000: 1}[entries]


@pytest.mark.parametrize("rows", [1, 20, 1000])
def test_inference_in_chunks_equals_inference_at_once(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Chunks that fit the cache may change rounding only."""
    torch.manual_seed(0)
    stage, x = make_stage(70, 7), torch.randn(77, 12)
    block = Block(12, 3, 16, 4, 0.3, "voxel", 1).eval()
    given, exact = x.clone(), block(x, stage, "per_cloud")
    asked = []
    for module in (attention, blocks):
        monkeypatch.setattr(module, "rows_per_chunk", lambda x, width: asked.append(width) or rows)
    with torch.no_grad():
        chunked = block(x, stage, "per_cloud")
    assert asked == [36, 48]
    torch.testing.assert_close(chunked, exact, atol=1e-6, rtol=1e-5)
    assert torch.equal(x, given)  # in-place sums leave the input alone


def test_rows_are_chunked_only_without_gradients_on_a_cpu() -> None:
    x = torch.ones(10, 4)
    assert rows_per_chunk(x, 64) is None  # with gradients
    with torch.no_grad():
        assert rows_per_chunk(x, 64) == 4096
        assert rows_per_chunk(x, 10**9) == 1
        assert rows_per_chunk(x.to("meta"), 64) is None


def test_heads_must_divide_channels() -> None:
    with pytest.raises(ValueError, match="10 channels"):
        PatchAttention(10, 3)


def test_without_a_gpu_every_backend_is_torch() -> None:
    if not torch.cuda.is_available():
        assert set(active_backends().values()) == {"torch"}


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_flash_attention_equals_torch_on_a_gpu(dtype: torch.dtype) -> None:
    stage = make_stage(40, 100, 7)  # the last is one short patch
    patches = stage.patches(1, 16, "per_cloud")
    tensors = {name: getattr(patches, name).cuda() for name in ("rows", "back", "repeated")}
    patches = dataclasses.replace(patches, **tensors)
    qkv = torch.randn(len(patches.rows), 3, 2, 16, device="cuda", dtype=dtype, requires_grad=True)
    torch_out = patch_attention(qkv, patches, "torch")
    if backends.FLASH_ATTN is None:
        pytest.skip("flash-attn is not installed")
    flash = patch_attention(qkv, patches, "flash-attn")
    torch.testing.assert_close(flash.float(), torch_out.float(), atol=0.02, rtol=0.02)
    a, b = (torch.autograd.grad(y.float().square().sum(), qkv)[0].float() for y in (flash, torch_out))
    torch.testing.assert_close(a, b, atol=0.05, rtol=0.05)
