import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.models.clouds import random_batch
from topokd.data import Scan, Voxels, voxelize
from topokd.experiments.measurement import measure_latency, measure_peak_memory, profile_operations
from topokd.experiments.model_cost import (
    cost_sentence,
    count_cost,
    count_flops,
    count_parameters,
    flops_table,
    measure_cost,
    nearest,
    parameters_by_module,
    parameters_table,
    tile_along_x,
    timing_sentence,
)
from topokd.models import build_model
from topokd.models.modes import evaluation_mode
from topokd.viz.cost import plot_scaling


@pytest.fixture(scope="module")
def scan() -> Scan:
    rng = np.random.default_rng(0)
    xyz = (rng.uniform(-3, 3, (900, 3)) * [1, 1, 0.1]).astype(np.float32)
    intensity = rng.random(900, dtype=np.float32)
    return Scan(xyz=xyz, intensity=intensity, label=None, instance=None, name="random")


def test_the_networks_have_the_papers_numbers_of_parameters() -> None:
    teacher = count_parameters(build_model("ptv3-teacher", num_classes=16))
    student = count_parameters(build_model("ptv3-student", num_classes=16))
    assert (teacher["total"], student["total"]) == (46_159_312, 2_777_344)
    for counts in (teacher, student):
        assert counts["total"] == counts["encoder"] + counts["decoder"] + counts["head"]
    assert teacher["head"] == 64 * 16 + 16


def projected(model, batch):
    """q, k, v and output layers of every block, with the rows of their stage."""
    _, taps = model(batch, taps=True)
    for name, module in model.named_modules():
        if name.endswith(("attn.qkv", "attn.proj")):
            stage = int(name.removeprefix("backbone.").split(".")[1][3:])  # enc3, dec0
            yield module, len(taps[stage].feat)


def count_products_by_torch(model, batch):
    """FLOPs of all matrix products outside attention in a forward pass, by torch's own ``FlopCounterMode``.

    These are the linear layers and the convolutions. torch's counter has no formula for its CPU attention kernel.
    Gradients are on because without them rows that a last patch repeats are projected twice.
    """
    with (
        evaluation_mode(model), torch.enable_grad(), FlopCounterMode(display=False) as counter
    ):  # fmt: skip
        model(batch)
    counted = counter.get_flop_counts()["Global"]
    return sum(value for op, value in counted.items() if str(op).startswith(("aten.mm", "aten.addmm", "aten.bmm")))


def test_dense_flops_equal_torchs_counter_and_attention_its_definition() -> None:
    model, batch = build_model("ptv3-tiny").eval(), random_batch(200, 90, 10)
    flops = count_flops(model, batch)
    assert count_products_by_torch(model, batch) == flops["total"]["linear"] + flops["total"]["convolution"]
    assert flops["total"]["total"] == sum(flops[part]["total"] for part in ("encoder", "decoder", "head"))

    projections = sum(m.weight.numel() * rows for m, rows in projected(model, batch))
    assert flops["total"]["projections"] == 2 * projections < flops["total"]["linear"]

    # stage 0 has one block in the encoder (8 channels) and one in the decoder (8): patches of 32 rows
    sizes = (200, 90, 10)
    squares = sum(-(-n // 32) * 32**2 if n > 32 else n**2 for n in sizes)
    _, taps = model(batch, taps=True)
    expected = 0
    for tap, width in zip(taps, (8, 8, 8, 16, 16), strict=True):
        counts = tap.offsets.diff(prepend=torch.zeros(1, dtype=torch.int64)).tolist()
        expected += 4 * width * sum(-(-n // 32) * 32**2 if n > 32 else n**2 for n in counts)
    assert flops["encoder"]["attention"] == expected
    assert flops["encoder"]["attention"] > 4 * 8 * squares


def test_counting_leaves_the_model_as_it_was() -> None:
    model = build_model("ptv3-tiny").train()
    count_flops(model, random_batch(50))
    assert model.training and not any(m._forward_hooks for m in model.modules())


def test_peak_memory_includes_temporaries_and_excludes_freed_memory() -> None:
    def call() -> torch.Tensor:
        for _ in range(3):
            torch.ones(1_000_000).mul_(2)
        return (torch.ones(500_000) + torch.ones(500_000))[:1]

    assert 6e6 <= measure_peak_memory(call) < 6.1e6  # three vectors of 2 MB at the end beat one of 4 MB
    assert measure_peak_memory(lambda: torch.ones(10)) < 1e4


def test_latency_warms_up_first_and_takes_the_median() -> None:
    calls: list[int] = []
    assert measure_latency(lambda: calls.append(1), repeats=3) >= 0
    assert len(calls) == 4


def test_operations_are_named_with_calls_and_memory() -> None:
    x = torch.ones(500, 500)
    total, rows = profile_operations(lambda: [x @ x for _ in range(3)])
    assert rows["aten::mm"]["calls"] == 3 and rows["aten::mm"]["allocated_bytes"] == 3 * 4 * 500 * 500
    assert 0 < rows["aten::mm"]["self_s"] <= total["cpu_time_s"] and set(total) == {"cpu_time_s"}
    assert rows["aten::mm"]["self_s"] <= rows["aten::mm"]["total_s"]


def test_tiled_scans_keep_their_shapes_and_do_not_touch(scan: Scan) -> None:
    voxels = voxelize(scan, 0.2)
    row = tile_along_x([voxels, voxels, voxels], len(voxels) + 1)
    assert len(row) == 2 * len(voxels)
    assert len(np.unique(row.grid_coord, axis=0)) == len(row)
    second = row.grid_coord[len(voxels) :]
    assert (second - second.min(0) == voxels.grid_coord - voxels.grid_coord.min(0)).all()
    assert second[:, 0].min() > row.grid_coord[: len(voxels), 0].max() + 1  # no neighbours across


def test_parameters_by_module_add_up() -> None:
    model = build_model("ptv3-student")
    modules = parameters_by_module(model)
    assert list(modules) == [
        "embedding",
        *(f"enc{i}" for i in range(5)),
        *(f"dec{i}" for i in (3, 2, 1, 0)),
        "seg_head",
    ]
    assert sum(modules.values()) == count_parameters(model)["total"]


def test_nearest_takes_the_closest_voxels(scan: Scan) -> None:
    voxels = voxelize(scan, 0.2)
    part: Voxels = nearest(voxels, 100)
    assert len(part) == 100 and part.grid_coord.min() == 0
    radius = np.linalg.norm(part.coord, axis=1).max()
    assert (np.linalg.norm(voxels.coord, axis=1) < radius).sum() == 99
    assert len(nearest(voxels, 10**6)) == len(voxels)


@pytest.mark.long
def test_records_follow_the_schema_and_exact_ones_repeat(scan: Scan) -> None:
    torch.manual_seed(0)
    models = {"teacher": build_model("ptv3-student-small"), "student": build_model("ptv3-tiny")}
    voxels = voxelize(scan, 0.2)
    cost = count_cost(models, voxels, (50, 100), 0.2)
    assert cost == count_cost(models, voxels, (50, 100), 0.2)
    assert cost["ratios"]["parameters"] > 1
    assert [point["voxels"] for point in cost["scaling"]] == [50, 100]
    timings = measure_cost(models, voxels, 200, (50, 100), scan, 0.5, repeats=1)
    assert timings["models"]["teacher"]["voxels"] == 200
    assert timings["models"]["teacher"]["fps"] == pytest.approx(1 / timings["models"]["teacher"]["latency_s"])
    assert timings["models"]["student"]["weight_bytes"] >= 4 * cost["models"]["student"]["parameters"]["total"]
    assert timings["frame"]["points"] == 900 and set(timings["frame"]["seconds"]) == {"teacher", "student"}
    assert timings["ratios"]["peak_memory"] > 0
    both = set.intersection(*(set(timings["models"][role]["operations"]) for role in models))
    assert set(timings["ratios"]["operations"]) == both and len(both) > 3
    assert next(iter(parameters_table(cost).index)) == "embedding"
    shown = flops_table(cost, {("encoder", "without_attention"): 36.7})
    assert shown.loc["encoder, without attention", "reported ratio"] == 36.7
    assert "times fewer" in cost_sentence(cost) and "900 points" in timing_sentence(timings)
    figure = plot_scaling(cost, timings)
    assert [len(panel.lines) for panel in figure.axes] == [2, 2, 4]
