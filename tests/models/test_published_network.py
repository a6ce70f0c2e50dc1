"""Our network against the numbers that the published implementation computed (see shared/reference/README.md)."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from topokd.models import Config, PointTransformerV3, Tap, build_model


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "reference" / "ptv3"


@pytest.fixture(scope="module", params=["tiny", "teacher_small"])
def case(request: pytest.FixtureRequest, folder: Path) -> dict[str, Any]:
    content = torch.load(folder / f"{request.param}_case.pt", weights_only=True)
    if "state_dict" not in content:
        content["state_dict"] = torch.load(folder / f"{request.param}_state_dict.pt", weights_only=True)
    return content


def network(case: dict[str, Any], **changes: Any) -> PointTransformerV3:
    names = ("enc_depths", "enc_channels", "enc_num_head", "dec_depths", "dec_channels", "dec_num_head", "drop_path")
    config = {name: case["config"][name] for name in names} | {"patch_size": case["config"]["enc_patch_size"][0]}
    model = PointTransformerV3(Config(**(config | changes)), num_classes=case["num_classes"]).eval()
    model.load_state_dict(case["state_dict"])
    return model


def voxels(case: dict[str, Any]) -> dict[str, torch.Tensor]:
    feat = torch.cat([case["coord"], case["intensity"][:, None]], 1)
    return {"coord": case["coord"], "grid_coord": case["grid_coord"], "feat": feat, "offset": case["offset"]}


def rows_of(tap: Tap, stage: dict[str, Any]) -> torch.Tensor:
    cloud = torch.bucketize(torch.arange(len(tap.feat)), tap.offsets, right=True)
    key = ((cloud * 2**16 + tap.grid_coord[:, 0]) * 2**16 + tap.grid_coord[:, 1]) * 2**16 + tap.grid_coord[:, 2]
    kept = key.argsort()[stage["rows"]]
    assert torch.equal(tap.grid_coord[kept], stage["grid"].long()) and torch.equal(cloud[kept], stage["batch"].long())
    return tap.feat[kept]


def test_logits_and_every_stage_equal_the_published_ones(case: dict[str, Any]) -> None:
    model, outputs = network(case, patching="batch"), {}
    for name in case["stages"]:  # embedding, enc.enc0, ..., dec.dec0
        module = model.backbone.get_submodule(name)
        module.register_forward_hook(lambda module, given, out, name=name: outputs.update({name: out}))
    with torch.no_grad():
        logits, taps = model(voxels(case), taps=True)
    torch.testing.assert_close(logits, case["logits"], atol=1e-5, rtol=0)
    assert len(outputs) == 1 + 5 + 4
    for name, stage in case["stages"].items():
        level = taps[0 if name == "embedding" else int(name[-1])]
        tap = Tap(outputs[name], level.grid_coord, level.offsets)
        assert tap.offsets.diff(prepend=torch.zeros(1, dtype=torch.int64)).tolist() == list(stage["bincount"])
        torch.testing.assert_close(rows_of(tap, stage), stage["feat"], atol=1e-5, rtol=0)


def test_patches_per_cloud_equal_those_of_flash_attention(case: dict[str, Any]) -> None:
    if "logits_flash_fp32_every4" not in case:
        pytest.skip("this case has no flash logits")
    with torch.no_grad():
        logits = network(case)(voxels(case))
    torch.testing.assert_close(logits[::4], case["logits_flash_fp32_every4"], atol=1e-5, rtol=0)


def test_shuffled_orders_equal_the_published_ones(case: dict[str, Any]) -> None:
    if "shuffled" not in case:
        pytest.skip("this case has no shuffled run")
    model = network(case, patching="batch")
    with torch.no_grad():
        logits = model(voxels(case), permutations=case["shuffled"]["randperm4_draws"])
    torch.testing.assert_close(logits, case["shuffled"]["logits"], atol=1e-5, rtol=0)
    torch.manual_seed(case["shuffled"]["manual_seed"])  # and the same draws from torch's global generator
    curves = model.train()._curves(None)
    drawn = [next(curves) for _ in range(5)]
    orders = model.config.orders
    for draw, order in zip(case["shuffled"]["randperm4_draws"], drawn, strict=True):
        orders = tuple(orders[i] for i in draw)
        assert order == orders


def test_a_training_step_equals_the_published_one(case: dict[str, Any]) -> None:
    if "train" not in case:
        pytest.skip("this case has no training step")
    expected = case["train"]
    model = network(case, patching="batch", drop_path=0.0, shuffle_orders=False).train()
    loss = torch.nn.functional.cross_entropy(model(voxels(case)), case["label"].long())
    loss.backward()
    assert loss.item() == pytest.approx(expected["loss"], abs=1e-5)
    for name, parameter in model.named_parameters():
        norm, _ = expected["grad_norm_and_sum"][name]
        assert parameter.grad is not None
        # Biases in front of a batch normalisation have no gradient but rounding.
        assert parameter.grad.norm().item() == pytest.approx(norm, rel=2e-4, abs=2e-5), name
    state = model.state_dict()
    for name, value in expected["running_stats_after_1_step"].items():
        torch.testing.assert_close(state[name], value, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.seg_head.weight.grad, expected["grad_head"], atol=1e-5, rtol=1e-4)
    stem = model.get_parameter("backbone.embedding.stem.conv.weight").grad
    torch.testing.assert_close(stem[:4], expected["grad_stem_first4"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "parameters"), [("teacher", 46_159_312), ("student", 2_777_344)])
def test_parameters_have_the_names_shapes_and_number_of_published_checkpoints(
    folder: Path, name: str, parameters: int
) -> None:
    with torch.device("meta"):
        model = build_model(f"ptv3-{name}", in_channels=4, num_classes=16)
    assert sum(p.numel() for p in model.parameters()) == parameters
    listed = json.loads((folder / f"{name}_state_dict_keys.json").read_text())
    ours = {key: [list(value.shape), str(value.dtype)] for key, value in model.state_dict().items()}
    assert ours == listed
