import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.clouds import random_batch, random_cloud
from topokd.errors import DataError, ParameterError
from topokd.models import PRESETS, PointTransformerV3, build_model
from topokd.models.blocks import DropPath
from topokd.models.stage import StageGeometry

INTEGERS = (torch.int64, torch.int32, torch.int16, torch.uint8)


@pytest.fixture(scope="module")
def model() -> PointTransformerV3:
    torch.manual_seed(0)
    network = build_model("ptv3-tiny", num_classes=5)
    for module in network.modules():  # as after training, so that normalisation is not the identity
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def alone(batch: dict[str, torch.Tensor], index: int) -> dict[str, torch.Tensor]:
    ends = [0, *batch["offset"].tolist()]
    rows = slice(ends[index], ends[index + 1])
    return {
        "grid_coord": batch["grid_coord"][rows],
        "feat": batch["feat"][rows],
        "offset": torch.tensor([rows.stop - rows.start]),
    }


def test_logits_of_a_cloud_do_not_depend_on_its_batch(model: PointTransformerV3) -> None:
    batch = random_batch(300, 450, 20)
    with torch.no_grad():
        together = model(batch).split([300, 450, 20])
        for i in range(3):
            torch.testing.assert_close(model(alone(batch, i)), together[i], atol=1e-5, rtol=1e-5)


def test_with_batch_patching_logits_depend_on_the_batch(model: PointTransformerV3) -> None:
    batch = random_batch(300, 450, 20)
    other = PointTransformerV3(build_model("ptv3-tiny", patching="batch").config, num_classes=5).eval()
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert (other(batch)[:300] - other(alone(batch, 0))).abs().max() > 1e-3


def test_logits_follow_the_order_of_the_rows(model: PointTransformerV3) -> None:
    batch = random_batch(300)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    shuffled = {"grid_coord": batch["grid_coord"][order], "feat": batch["feat"][order], "offset": batch["offset"]}
    with torch.no_grad():
        assert torch.equal(model(shuffled), model(batch)[order])


def test_evaluation_repeats_bit_for_bit_and_draws_nothing(model: PointTransformerV3) -> None:
    batch, state = random_batch(200, 100), torch.get_rng_state()
    with torch.no_grad():
        assert torch.equal(model(batch), model(batch))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_batch_object_and_both_spellings_of_offset_are_read(model: PointTransformerV3) -> None:
    batch = random_batch(50, 60)
    other = {("offsets" if k == "offset" else k): v for k, v in batch.items()}
    with torch.no_grad():
        assert torch.equal(model(batch), model(SimpleNamespace(**other)))
        assert torch.equal(model(batch), model(other))


def test_a_cloud_of_one_voxel_has_logits(model: PointTransformerV3) -> None:
    with torch.no_grad():
        assert model(
            {"grid_coord": torch.zeros(1, 3, dtype=torch.int32), "feat": torch.ones(1, 4), "offset": torch.tensor([1])}
        ).shape == (1, 5)


def test_taps_are_the_outputs_of_the_stages_that_later_layers_consume(model: PointTransformerV3) -> None:
    batch = random_batch(300, 150)
    logits, taps = model(batch, taps=True)
    gradients = torch.autograd.grad(logits.square().sum(), [tap.feat for tap in taps], retain_graph=True)
    assert all(g.abs().sum() > 0 for g in gradients)
    for level, tap in enumerate(taps):
        sizes = tap.offsets.diff(prepend=torch.zeros(1, dtype=torch.int64)).tolist()
        for cloud, part in enumerate(tap.grid_coord.split(sizes)):
            whole = alone(batch, cloud)["grid_coord"] >> level
            assert sorted(part.tolist()) == sorted(whole.unique(dim=0).tolist())
    # finite differences: moving the features of stage 2 moves the logits as the gradient says
    moved = _forward_with_changed_stage(model, batch, 2, step := 1e-2 * torch.randn_like(taps[2].feat))
    change = (moved.square().sum() - logits.square().sum()).item()
    assert change == pytest.approx((gradients[2] * step).sum().item(), rel=0.1)


def _forward_with_changed_stage(
    model: PointTransformerV3, batch: dict[str, torch.Tensor], level: int, step: torch.Tensor
) -> torch.Tensor:
    stage: torch.nn.Module = model.get_submodule(f"backbone.enc.enc{level}")
    hook = stage.register_forward_hook(lambda module, given, out: out + step)
    try:
        return model(batch)
    finally:
        hook.remove()


def test_training_shuffles_from_the_global_generator(model: PointTransformerV3) -> None:
    network, batch = copy.deepcopy(model).train(), random_batch(300)
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        runs.append(copy.deepcopy(network)(batch))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_training_is_deterministic_under_torchs_own_check(model: PointTransformerV3) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        gradients = []
        for _ in range(2):
            network = copy.deepcopy(model).train()
            torch.manual_seed(0)
            network(random_batch(300, 200)).square().sum().backward()
            gradients.append([p.grad for p in network.parameters()])
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_gradients_reach_every_parameter_and_agree_with_differences(model: PointTransformerV3) -> None:
    network, batch = copy.deepcopy(model).double(), random_batch(120, 40)
    batch["feat"] = batch["feat"].double()
    loss = network(batch).square().sum()
    loss.backward()
    direction = {n: torch.randn_like(p) for n, p in network.named_parameters()}
    slope = sum((p.grad * direction[n]).sum().item() for n, p in network.named_parameters())
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())
    values = []
    for sign in (1, -1):
        moved = copy.deepcopy(network)
        with torch.no_grad():
            for n, p in moved.named_parameters():
                p += sign * 1e-6 * direction[n]
            values.append(moved(batch).square().sum().item())
    assert slope == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5)


@pytest.mark.parametrize("per", ["voxel", "cloud"])
def test_drop_path_drops_rows_or_clouds(per: str) -> None:
    drop, x = DropPath(0.4, per).train(), torch.ones(900, 3)
    line = torch.tensor([[0, 0, 0], [0, 0, 1], [0, 0, 2]]).repeat(300, 1)
    stage, _ = StageGeometry.from_voxels(line, (3,) * 300, ("z",), common_depth=False)
    torch.manual_seed(0)
    out = drop(x, stage)
    values = out.unique().tolist()
    assert values == pytest.approx([0, 1 / 0.6]) and (out == out[:, :1]).all()
    assert out.bool().float().mean().item() == pytest.approx(0.6, abs=0.08)
    assert (out.view(300, 3, 3).amax(1) == out.view(300, 3, 3).amin(1)).all() == (per == "cloud")
    assert drop.eval()(x, stage) is x


def test_autocast_stays_near_the_exact_logits(model: PointTransformerV3) -> None:
    batch = random_batch(200)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = model(batch)
    with torch.no_grad():
        exact = model(batch)
    assert half.isfinite().all()
    assert (half.float() - exact).abs().mean() < 0.1 * exact.abs().mean()


def broken(**changes: Any) -> dict[str, Any]:
    grid, feat = random_cloud(30, 0)
    return {"grid_coord": grid, "feat": feat, "offset": torch.tensor([30])} | changes


def with_nonfinite(values: torch.Tensor, row: int, value: float) -> torch.Tensor:
    values = values.clone()
    values[row:, 1] = value
    return values


GRID, FEAT = random_cloud(30, 0)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (broken(feat=FEAT[:, :3]), r"feat has shape \(30, 3\), but this network reads \(n, 4\)"),
        (broken(grid_coord=GRID - 5), "negative.*subtract"),
        (broken(grid_coord=GRID + 0.5), "fractions.*floor"),
        (broken(grid_coord=GRID + 2**16), "16 bits.*subtract"),
        (broken(grid_coord=GRID[:-1]), r"shape \(29, 3\), but feat has 30 rows"),
        (broken(grid_coord=GRID // 2), "appear twice, first .* in cloud 0.*merge"),
        (broken(offset=torch.tensor([30, 30])), "cloud 1 of the batch has 0"),
        (broken(offset=torch.tensor([29])), "ends at 29.*30 voxels"),
        (broken(offset=None), "lacks offset: give"),
        ({"grid_coord": GRID, "offset": torch.tensor([30])}, "lacks feat"),
        (broken(offset=torch.tensor(30)), r"offset is a tensor of torch.int64 with shape \(\): .*1-d"),
        (broken(offset=torch.tensor([30.0])), r"offset is a tensor of torch.float32 with shape \(1,\): .*integer"),
        (broken(offset=[30.0]), "offset is a list with other entries than integers: .*list of integers"),
        (broken(offset=np.array([30])), "offset is of type ndarray: .*tensor or a list"),
        (broken(feat=FEAT.double()), r"feat has dtype torch.float64.*weights have torch.float32.*feat\.to"),
        (broken(feat=FEAT.half()), "feat has dtype torch.float16"),
        (broken(feat=FEAT.numpy()), "feat is of type ndarray: give a tensor"),
        (broken(grid_coord=GRID.numpy()), "grid_coord is of type ndarray: give a tensor"),
        (broken(feat=torch.tensor(1.0)), r"feat has shape \(\)"),
        (FEAT, "of type Tensor and lacks feat, grid_coord, offsets: give a Batch"),
        (broken(feat=with_nonfinite(FEAT, 7, torch.nan)), "feat holds NaN or infinity, first in row 7 of 30: remove"),
        (broken(feat=with_nonfinite(FEAT, 9, -torch.inf)), "feat holds NaN or infinity, first in row 9"),
        (
            broken(grid_coord=with_nonfinite(GRID.float(), 5, torch.inf)),
            "grid_coord holds NaN or infinity, first in row 5",
        ),
    ],
)
def test_a_wrong_input_names_the_entry_and_the_fix(
    model: PointTransformerV3, batch: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        model(batch)


@pytest.mark.parametrize(
    "offset", [[20, 30], tuple(np.array([20, 30])), *(torch.tensor([20, 30], dtype=d) for d in INTEGERS)]
)
def test_offsets_of_any_integer_type_are_read(model: PointTransformerV3, offset: Any) -> None:
    with torch.no_grad():
        assert torch.equal(model(broken(offset=offset)), model(broken(offset=torch.tensor([20, 30]))))


def test_under_autocast_features_of_another_float_type_are_read(model: PointTransformerV3) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert model(broken(feat=FEAT.bfloat16())).isfinite().all()
        with pytest.raises(DataError, match="feat has dtype torch.int64"):
            model(broken(feat=FEAT.long()))


@pytest.mark.parametrize("clouds", [32768, 32769])
def test_a_batch_holds_up_to_32768_clouds(clouds: int) -> None:
    grid, sizes = torch.zeros(clouds, 3, dtype=torch.int64), (1,) * clouds
    if clouds > 32768:
        with pytest.raises(DataError, match=r"the batch has 32769 clouds, at most 32768 fit"):
            StageGeometry.from_voxels(grid, sizes, ("z",), common_depth=False)
    else:
        assert StageGeometry.from_voxels(grid, sizes, ("z",), common_depth=False)[0].cloud.equal(torch.arange(clouds))


def test_training_on_a_single_coarsest_row_raises_before_anything_changes(model: PointTransformerV3) -> None:
    network, before = copy.deepcopy(model).train(), copy.deepcopy(model.state_dict())
    torch.manual_seed(0)
    small, large = torch.tensor([[0, 0, 0], [15, 15, 15]]), torch.tensor([[0, 0, 0], [15, 15, 16]])
    with pytest.raises(DataError, match=r"one cloud of 2 voxels, a single row at the coarsest.*BatchNorm"):
        network({"grid_coord": small, "feat": torch.rand(2, 4), "offset": [2]})
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network({"grid_coord": large, "feat": torch.rand(2, 4), "offset": [2]})
    network({"grid_coord": torch.cat([small, small]), "feat": torch.rand(4, 4), "offset": [2, 4]})
    for module in network.modules():  # frozen statistics do not need a second row
        if isinstance(module, torch.nn.BatchNorm1d):
            module.eval()
    network({"grid_coord": small, "feat": torch.rand(2, 4), "offset": [2]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patching": "cloud"}, "patching is 'cloud': choose per_cloud or batch"),
        ({"drop_path_per": "row"}, "drop_path_per is 'row': choose voxel or cloud"),
        ({"stride": (2, 2, 3, 2)}, "stride holds 3.*power of two"),
        ({"stride": (2, 2, 1, 2)}, "stride holds 1.*power of two"),
        ({"drop_path": 1.0}, "drop_path is 1.0"),
        ({"drop_path": -0.1}, "drop_path is -0.1"),
        ({"orders": ()}, "orders is empty"),
        ({"orders": ("z", "peano")}, r"unknown curves \(peano\): choose from z, "),
        ({"patch_size": 0}, "patch_size is 0"),
        ({"enc_channels": (8, 8)}, "enc_channels has 2 entries, but enc_depths has 5: give 5"),
        ({"enc_num_head": (1,) * 6}, "enc_num_head has 6 entries"),
        ({"dec_depths": (1,) * 5}, "dec_depths has 5 entries.*give 4"),
        ({"stride": (2,)}, "stride has 1 entries.*give 4"),
        ({"enc_num_head": (1, 3, 1, 2, 2)}, "enc_channels: 8 channels cannot be split over 3 heads"),
        ({"dec_num_head": (1, 1, 1, 0)}, "dec_channels: 16 channels cannot be split over 0 heads"),
    ],
)
def test_a_config_that_no_network_can_be_built_from_raises(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        build_model("ptv3-tiny", **changes)


def test_whole_numbers_in_floats_are_read_as_grid_coord(model: PointTransformerV3) -> None:
    with torch.no_grad():
        assert torch.equal(model(broken(grid_coord=GRID.float())), model(broken()))


def test_the_small_presets_share_strides_and_differ_sixteenfold_in_size() -> None:
    teacher, student = (build_model(f"ptv3-{role}-small") for role in ("teacher", "student"))
    sizes = [sum(p.numel() for p in m.parameters()) for m in (teacher, student)]
    assert 14 < sizes[0] / sizes[1] < 18
    assert teacher.config.stride == student.config.stride
    assert sum(p.numel() for p in build_model("ptv3-tiny").parameters()) < 60_000


def test_unknown_presets_and_fields_are_named_with_the_choices() -> None:
    with pytest.raises(ParameterError, match="unknown model preset 'ptv3-teachr': did you mean 'ptv3-teacher'"):
        build_model("ptv3-teachr")
    with pytest.raises(ParameterError, match=r"no field dropout: choose from .*drop_path"):
        build_model("ptv3-tiny", dropout=0.1)
    assert set(PRESETS) >= {"ptv3-teacher", "ptv3-student", "ptv3-teacher-small", "ptv3-student-small", "ptv3-tiny"}
