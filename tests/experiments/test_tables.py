"""Tables and sentences of the experiments: panels, statistics of scans, cost of the topological loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from topokd import params as P
from topokd.data import IGNORE, Scan
from topokd.errors import DataError
from topokd.experiments import panels, scan_statistics, topology_cost
from topokd.params import CostMeasurement


def statistics(frequency: dict[str, float], **changes: Any) -> dict[str, Any]:
    return {
        "scans": 4,
        "class_frequency": frequency,
        "class_scans": {name: 2 for name in frequency},
        "class_points": {name: int(1000 * share) for name, share in frequency.items()},
        "range_histogram": [0.5, 0.5],
        "range_edges": [0.0, 10.0, 20.0],
        **changes,
    }


def test_two_data_sets_are_compared_by_common_classes_and_ranges() -> None:
    ours = statistics({"road": 0.6, "car": 0.4, "boat": 0.0})
    theirs = statistics({"road": 0.5, "car": 0.1, "boat": 0.4})
    text = scan_statistics.comparison_sentence({"train": ours, "val": ours}, theirs, ("ours", "theirs"))
    assert "Of the 3 classes with more than 0.5 %" in text and "1 are within a factor of two in *ours*" in text
    assert "share 60 % of their mass" in text and "nearer than 10 m, against 10 m" in text
    assert text.endswith("Not in the validation split: boat.")
    table = scan_statistics.class_table({"train": ours, "val": ours}, theirs, ("ours", "theirs"))
    assert table.loc["car", "ours (%)"] == 40 and table.loc["car", "theirs (%)"] == 10


class Scans(list):
    """Scans as a data set gives them."""

    sequences = ("00", "01")
    skipped = ("00/000007",)
    num_classes = 3

    @property
    def names(self) -> list[str]:
        return [scan.name for scan in self]


def scans(labelled: bool = True) -> Scans:
    xyz = np.array([[0.1, 0, 0], [0.2, 0, 0], [0.3, 0, 0], [5, 0, 0]])
    label = np.array([0, 0, 1, IGNORE]) if labelled else None
    return Scans([Scan(xyz, np.zeros(4), label, name="00/000000")] * 2)


@pytest.mark.invalid_arguments  # a list instead of a data set
def test_the_grid_limits_the_accuracy() -> None:
    grid = scan_statistics.voxel_statistics(scans(), 1.0)
    assert grid["voxels_per_scan"] == {"mean": 2.0, "min": 2, "max": 2}
    assert grid["voxel_ceiling_accuracy"] == pytest.approx(2 / 3)  # one of three labelled points is outvoted
    assert "66.67 % of the points would be" in scan_statistics.voxel_sentence(grid)
    with pytest.raises(DataError, match="00/000000 has no labels"):
        scan_statistics.voxel_statistics(scans(labelled=False), 1.0)


@pytest.mark.invalid_arguments
def test_a_split_is_summarised_with_the_scans_that_were_skipped() -> None:
    splits = {"train": {"scans": 2, "points_per_scan": {"mean": 4.0}, "ignored_fraction": 0.25, "range_max": 5.04}}
    column = scan_statistics.sizes_table({"train": scans()}, splits)["train"]
    assert (column["sequences"], column["skipped scans"], column["points without a class (%)"]) == ("00, 01", 1, 25.0)
    assert panels.sizes_table({"val": scans()})["val"].to_dict() == {"scans": 2, "points": 8, "classes seen": 2}


def test_a_panel_trains_on_the_synthetic_world_in_the_layout_of_a_benchmark() -> None:
    params = P.load_profile("default")
    panel = panels.panel_params(params, "waymo")
    assert (panel.data.dataset, panel.data.layout, panel.train_rows) == ("synthetic", "waymo", params.panels.rows)
    assert panel.train.student_steps == params.panels.student_steps and len(panel.seeds) == 1


def test_the_scores_of_a_panel_are_in_percent_and_its_gain_is_stated() -> None:
    panel = panels.panel_params(P.load_profile("default"), "waymo")
    names = ("teacher", *panel.train_rows)
    records = {
        name: {"evaluation": {"class_names": ["road", "bus"], "miou_skip": score, "iou": [score, None]}}
        for name, score in zip(names, np.linspace(0.5, 0.3, len(names)), strict=True)
    }
    table = panels.scores_table(records, "skip")
    assert table["teacher"].to_dict() == {"mIoU": "50.0", "road": "50.0", "bus": "absent"}
    assert f"“{panel.rows[panel.train_rows[-1]].label}” is" in panels.gain_sentence(records, panel)
    assert " below " in panels.gain_sentence(records, panel)


@pytest.mark.long
def test_the_cost_of_the_loss_is_measured_at_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology_cost, "peak_memory", lambda engine, points, *_: dict.fromkeys(points, 1000))
    bench = CostMeasurement(
        repeats=2, topology_points=(12, 24), naive_max_points=12, h2_points=(10,), sampling_points=(200,)
    )
    document = topology_cost.measure_topology_cost(bench)
    small, large = document["table8"]
    assert (small["points"], large["points"]) == (12, 24) and large["naive"] is None and large["speedup"] is None
    total = {name: small[name]["forward_s"] + small[name]["backward_s"] for name in ("naive", "ours", "giotto_ph")}
    assert small["speedup"] == pytest.approx(total["naive"] / total["ours"]) and min(total.values()) > 0
    assert document["sampling"][0]["kept"] == 128 and document["sampling"][0]["farthest_s"] > 0
    assert document["homology"][0]["h1_s"] > 0 and document["repeats"] == 2
    table = topology_cost.cost_table(document)
    assert (table.loc[12, "ours memory (MB)"], table.loc[24, "naive forward (s)"]) == ("0.00100", "–")


def test_the_cost_is_stated_at_the_largest_sizes() -> None:
    def cost(seconds: float) -> dict[str, float]:
        return {"forward_s": seconds, "backward_s": 0.0}

    rows = [
        {"points": 64, "naive": cost(3.0), "ours": cost(0.1), "giotto_ph": cost(0.2), "speedup": 30.0},
        {"points": 256, "naive": None, "ours": cost(0.5), "giotto_ph": cost(1.0), "speedup": None},
    ]
    assert topology_cost.cost_sentence({"table8": rows}) == (
        "At N = 64 the naive baseline takes 30 times as long. "
        "At N = 256 the layer takes 0.500 s, and 1.000 s with giotto-ph (2.0 times as long)."
    )
