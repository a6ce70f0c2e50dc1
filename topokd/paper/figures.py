"""Figures drawn from results alone: 1 a, 2, the ablation, validation curves, IoU per class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from topokd.paper import reported
from topokd.paper.results import TEACHER, Results, class_names
from topokd.paper.segmentation_tables import compared_with
from topokd.viz import framework
from topokd.viz import results as view
from topokd.viz.style import ACCENT, GREEN, MUTED, OCHRE, PURPLE, STUDENT
from topokd.viz.style import TEACHER as TEACHER_COLOR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RADAR_CELLS = {  # name -> cells of nuScenes, SemanticKITTI, Waymo (mIoU), FPS, parameters
    "Student (paper)": (
        "table1|Student with KD|mIoU", "table2|Student with KD|mIoU", "table4|Ours (Student w/ KD)|mIoU test",
        "table3|Our Student|FPS", "table3|Our Student|Params (M)",
    ),
    "Teacher (paper)": (
        "", "", "table4|Ours (Teacher)|mIoU test", "table3|PTv3 (Teacher)|FPS", "table3|PTv3 (Teacher)|Params (M)",
    ),
    "U2MKD": (
        "table1|U2MKD (LC)|mIoU", "table2|U2MKD (LC)|mIoU", "", "table3|U2MKD|FPS", "table3|U2MKD|Params (M)",
    ),
    "TPV-IGKD": (
        "table1|TPV-IGKD (LC)|mIoU", "table2|TPV-IGKD|mIoU", "", "table3|TPV-IGKD|FPS", "table3|TPV-IGKD|Params (M)",
    ),
    "MV3Dseg": (
        "table1|MV3Dseg|mIoU", "table2|MV3Dseg|mIoU", "", "table3|MV3DSeg|FPS", "table3|MV3DSeg|Params (M)",
    ),
    "KT-Weakly": (
        "table1|KT-Weakly (LC)|mIoU", "table2|KT-Weakly (LC)|mIoU", "", "table3|KT-weakly|FPS", "",
    ),
}  # fmt: skip
RADAR_COLORS = dict(zip(RADAR_CELLS, (STUDENT, TEACHER_COLOR, MUTED, ACCENT, GREEN, PURPLE, OCHRE), strict=False))
RADAR_SPOKES = {
    "nuScenes mIoU (%)": (70.0, 85.0),
    "SemanticKITTI mIoU (%)": (65.0, 75.0),
    "Waymo mIoU (%)": (65.0, 75.0),
    "frames per second": (0.0, 30.0),
    "parameters (M)": (150.0, 0.0),
}


def reported_radar() -> view.Radar:
    """Figure 1 a from the paper's own tables: the published figure prints no numbers."""
    series = {name: [reported.value(cell) if cell else None for cell in cells] for name, cells in RADAR_CELLS.items()}
    return view.Radar(RADAR_SPOKES, series, RADAR_COLORS, ("Student (paper)",))


def measured_radar(results: Results) -> view.Radar | None:
    """Figure 1 a for this profile, quantities that repeat exactly; None without a teacher and a student."""
    shown = results.headline
    if TEACHER not in shown or len(shown) < 2:
        return None
    scores = {v: [results.score(v, m).mean for m in ("miou_skip", "miou_zero", "accuracy")] for v in shown}
    size = {v: next(iter(results.runs[v].values()))["parameters"] / 1e6 for v in shown}
    top = [10.0 * math.ceil(max(s[k] for s in scores.values()) / 10) for k in range(3)]
    heads = ("mIoU (%)", "mIoU, absent 0 (%)", "accuracy (%)")
    spokes = {head: (0.0, limit) for head, limit in zip(heads, top, strict=True)}
    spokes["parameters (M)"] = (float(f"{1.1 * max(size.values()):.2g}"), 0.0)
    series = {results.labels[v]: [*scores[v], size[v]] for v in shown}
    colors = {results.labels[v]: results.looks[v].color for v in shown}
    return view.Radar(spokes, series, colors, [results.labels[v] for v in shown if v != TEACHER])


def radar_figure(results: Results) -> Figure:
    """Figure 1 a, reported and measured."""
    return view.radar_figure(reported_radar(), measured_radar(results), f"Measured: {results.dataset}")


def framework_figure(_: Results | None = None) -> Figure:
    """Figure 2 with the sizes and depths of the paper's networks (the same for every profile)."""
    rows = {"Teacher": "PTv3 (Teacher)", "Student": "Our Student"}
    sizes = {role: reported.load("table3").loc[row, "Params (M)"] for role, row in rows.items()}
    depths = {role: _numbers(reported.load("table5").loc["Encoder Depths", role]) for role in ("Teacher", "Student")}
    return framework.figure2((f"{sizes['Teacher']} M", depths["Teacher"]), (f"{sizes['Student']} M", depths["Student"]))


def ablation_figure(results: Results) -> Figure | None:
    """Scores of all networks and gains of the rows; None before there are two networks."""
    order = [network for network in results.looks if results.runs.get(network)]
    if len(order) < 2:
        return None
    scores = {name: view.Seeds(results.scores(name), results.score(name)) for name in order}
    over = _common_base(results)
    gains, printed = {}, {}
    for row in order:
        if row not in results.rows or over not in results.rows[row].compare or not results.gain(row, over).n:
            continue
        base, values = results.scores(over), results.scores(row)
        by_seed = {seed: value - base[seed] for seed, value in values.items() if seed in base}
        gains[row] = view.Seeds(by_seed, results.gain(row, over))
        printed[row] = reported.gains(("table7",), row, over)
    against = results.rows[over].label if over else ""
    return view.ablation_figure(scores, gains, printed, results.looks, f"mIoU (%), {results.dataset}", against)


def _common_base(results: Results) -> str:
    """The row that most rows are compared with, of those with the most terms; empty where nothing is compared."""
    nearest = [compared[0] for row in results.rows if (compared := compared_with(results, row))]
    return max(nearest, key=nearest.count, default="")


def validation_figure(results: Results) -> Figure | None:
    """mIoU during training of all networks; None before there is a curve."""
    curves: dict[str, tuple[list[int], np.ndarray]] = {}
    for network, runs in results.runs.items():
        histories = [run["history"] for run in runs.values()]
        steps = histories[0]["val_step"]
        if not steps or any(history["val_step"] != steps for history in histories):
            continue
        values = np.array([h["val_miou"] for h in histories], dtype=float)  # null (nothing counted) becomes NaN
        curves[network] = (steps, 100 * values)
    return view.validation_figure(curves, results.looks) if curves else None


def class_figure(results: Results) -> Figure | None:
    """IoU per class of the headline networks; None before one of them exists."""
    shown = results.headline
    if not shown:
        return None
    names = class_names(results)
    scores = {v: [float(np.mean([*results.class_scores(v, n).values()] or [np.nan])) for n in names] for v in shown}
    evaluation = next(iter(results.runs[shown[0]].values()))["evaluation"]
    counts = np.array(evaluation["confusion"]).sum(0) + np.array(evaluation.get("missed", 0))
    return view.class_figure(names, scores, (counts / counts.sum()).tolist(), results.looks)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.strip("()").split(","))
