"""Networks whose early blocks are convolutions and whose late blocks are attention with rotary positions."""

from __future__ import annotations

import pytest
import torch

from topokd.errors import ParameterError
from topokd.models import build_model
from topokd.models.attention import PatchAttention
from topokd.models.patches import layout_patches
from topokd.models.rotary import rotate

PRESET = "litept-student-medium"


def batch(seed: int, sizes: tuple[int, ...] = (60, 90)) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    grids = [torch.randperm(4096, generator=generator)[:n] for n in sizes]
    grid = torch.cat([torch.stack([g // 256, g // 16 % 16, g % 16], 1) for g in grids])
    feat = torch.randn(len(grid), 4, generator=generator)
    return {"grid_coord": grid, "feat": feat, "offset": torch.tensor(sizes).cumsum(0)}


def test_the_preset_is_as_large_as_the_student_of_the_default_profile() -> None:
    sizes = [
        sum(p.numel() for p in build_model(p, num_classes=19).parameters()) for p in (PRESET, "ptv3-student-medium")
    ]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


def test_early_blocks_hold_no_attention_and_late_blocks_no_convolution() -> None:
    names = [name for name, _ in build_model(PRESET).backbone.enc.named_parameters() if ".block" in name]
    early, late = ([n for n in names if n[3] in stages] for stages in ("012", "34"))
    assert early and all(".cpe." in n for n in early)
    assert late and not any(".cpe." in n for n in late) and any(".attn." in n for n in late)
    assert not any(".block" in name for name, _ in build_model(PRESET).backbone.dec.named_parameters())


def test_a_cloud_does_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    model = build_model(PRESET).eval()
    both = batch(1)
    alone = {"grid_coord": both["grid_coord"][:60], "feat": both["feat"][:60], "offset": torch.tensor([60])}
    with torch.no_grad():
        torch.testing.assert_close(model(both)[:60], model(alone), rtol=1e-4, atol=1e-5)


def test_every_parameter_learns_and_modes_agree() -> None:
    torch.manual_seed(0)
    model = build_model(PRESET)
    model(batch(2)).square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
    model.eval()
    with_graph = model(batch(2))
    with torch.no_grad():
        torch.testing.assert_close(model(batch(2)), with_graph.detach(), rtol=1e-4, atol=1e-5)


def test_checkpointing_gives_the_same_gradients() -> None:
    gradients = []
    for on in (False, True):
        torch.manual_seed(0)
        model = build_model(PRESET).set_checkpointing(on)
        torch.manual_seed(1)
        model(batch(3)).square().mean().backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_products_of_rotated_vectors_depend_on_the_difference_of_positions(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    q, k = torch.randn(2, 7, 2, 18, generator=generator, dtype=torch.float64)
    at, other, shift = torch.randint(0, 100, (3, 7, 3), generator=generator)
    shift = shift[:1]
    products = [
        (rotate(q, at + s, 100.0) * rotate(k, other + s, 100.0)).sum(-1) for s in (torch.zeros_like(shift), shift)
    ]
    torch.testing.assert_close(*products, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(rotate(q, at, 100.0).norm(dim=-1), q.norm(dim=-1), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(products[0], (q * k).sum(-1))


def test_attention_with_rotary_positions_rejects_rows_without_positions() -> None:
    patches = layout_patches((4,), 4, torch.device("cpu")).along(torch.arange(4))
    with pytest.raises(ValueError, match="needs grid_coord"):
        PatchAttention(6, 1, rope_base=100.0)(torch.zeros(4, 6), patches)


def test_rotation_is_the_definition() -> None:
    x, at = torch.arange(12.0).reshape(1, 1, 12), torch.tensor([[3, 0, 5]])
    turned = rotate(x, at, 100.0)[0, 0]
    for axis in range(3):
        for k in range(2):
            a, b = x[0, 0, 4 * axis + k], x[0, 0, 4 * axis + 2 + k]
            t = at[0, axis] / torch.tensor(100.0 ** (k / 2))
            assert turned[4 * axis + k].item() == pytest.approx((a * t.cos() - b * t.sin()).item(), abs=1e-5)
            assert turned[4 * axis + 2 + k].item() == pytest.approx((a * t.sin() + b * t.cos()).item(), abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"enc_blocks": ("both",)}, "enc_blocks has 1 entries: give 5"),
        ({"enc_blocks": ("conv",) * 5}, "enc_blocks holds conv"),
        ({"rope_base": -1.0}, "rope_base is -1.0"),
        ({"enc_num_head": (1, 1, 2, 9, 7)}, "multiple of 6"),
    ],
)
def test_impossible_blocks_are_rejected(changes: dict, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        build_model(PRESET, **changes)
