"""The figures that are drawn from results alone: 1 a, 2, the ablation, validation curves, classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from topokd.paper import reported
from topokd.paper.results import NAMES, TEACHER, Results
from topokd.paper.segmentation_tables import ABLATION, TABLE7_COLUMNS, class_names
from topokd.viz import framework
from topokd.viz import results as view

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Spokes = Mapping[str, tuple[float, float]]
Series = Mapping[str, Sequence[float | None]]

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
RADAR_SPOKES = {
    "nuScenes mIoU (%)": (70.0, 85.0),
    "SemanticKITTI mIoU (%)": (65.0, 75.0),
    "Waymo mIoU (%)": (65.0, 75.0),
    "frames per second": (0.0, 30.0),
    "parameters (M)": (150.0, 0.0),
}


def reported_radar() -> tuple[Spokes, Series]:
    """Figure 1 a from the paper's own tables: the published figure prints no numbers."""
    series = {name: [reported.value(cell) if cell else None for cell in cells] for name, cells in RADAR_CELLS.items()}
    return RADAR_SPOKES, series


def measured_radar(results: Results) -> tuple[Spokes, Series] | None:
    """The same for this profile: quantities that repeat exactly; None before teacher and students are there."""
    shown = [variant for variant in (TEACHER, "plain", "full") if variant in results.runs]
    if TEACHER not in shown or len(shown) < 2:
        return None
    scores = {v: [results.score(v, m).mean for m in ("miou_skip", "miou_zero", "accuracy")] for v in shown}
    size = {v: next(iter(results.runs[v].values()))["parameters"] / 1e6 for v in shown}
    top = [10.0 * math.ceil(max(s[k] for s in scores.values()) / 10) for k in range(3)]
    labels = ("mIoU (%)", "mIoU, absent 0 (%)", "accuracy (%)")
    spokes = {label: (0.0, limit) for label, limit in zip(labels, top, strict=True)}
    spokes["parameters (M)"] = (float(f"{1.1 * max(size.values()):.2g}"), 0.0)
    return spokes, {NAMES[v]: [*scores[v], size[v]] for v in shown}


def figure1(results: Results) -> Figure:
    """Figure 1 a, reported and measured."""
    return view.figure1(reported_radar(), measured_radar(results), f"Measured: {results.dataset}")


def figure2() -> Figure:
    """Figure 2 with the sizes and depths of the paper's networks."""
    rows = {"Teacher": "PTv3 (Teacher)", "Student": "Our Student"}
    sizes = {role: reported.load("table3").loc[row, "Params (M)"] for role, row in rows.items()}
    depths = {role: _numbers(reported.load("table5").loc["Encoder Depths", role]) for role in ("Teacher", "Student")}
    return framework.figure2((f"{sizes['Teacher']} M", depths["Teacher"]), (f"{sizes['Student']} M", depths["Student"]))


def ablation_figure(results: Results) -> Figure | None:
    """Scores and gains of the loss terms; None before two variants are there."""
    order = [variant for variant in (TEACHER, "plain", *ABLATION) if results.runs.get(variant)]
    if len(order) < 2:
        return None
    means = {v: (results.score(v).mean, results.score(v).half_width) for v in order}
    gained = [v for v in ABLATION[1:] if v in order and results.gain(v, "kd").n]
    base = results.scores("kd")
    gains = {v: {s: x - base[s] for s, x in results.scores(v).items() if s in base} for v in gained}
    gain_means = {v: (results.gain(v, "kd").mean, results.gain(v, "kd").half_width) for v in gained}
    printed = {
        v: {c: reported.value(f"table7|{v}|{c}") - reported.value(f"table7|kd|{c}") for _, c in TABLE7_COLUMNS}
        for v in gained
    }
    scores = {v: results.scores(v) for v in order}
    return view.ablation_figure(scores, means, gains, gain_means, printed, NAMES, f"mIoU (%), {results.dataset}")


def validation_figure(results: Results) -> Figure | None:
    """mIoU while training, all variants; None before there is a curve."""
    curves: dict[str, tuple[list[int], np.ndarray]] = {}
    for variant, runs in results.runs.items():
        histories = [run["history"] for run in runs.values()]
        steps = histories[0]["val_step"]
        if not steps or any(history["val_step"] != steps for history in histories):
            continue
        values = np.array([h["val_miou"] for h in histories], dtype=float)  # null (nothing counted) becomes NaN
        curves[variant] = (steps, 100 * values)
    return view.validation_figure(curves, NAMES) if curves else None


def class_figure(results: Results) -> Figure | None:
    """IoU per class of teacher, plain and fully distilled student; None before one of them is there."""
    shown = [variant for variant in (TEACHER, "plain", "full") if results.runs.get(variant)]
    if not shown:
        return None
    names = class_names(results)
    scores = {v: [float(np.mean([*results.class_scores(v, n).values()] or [np.nan])) for n in names] for v in shown}
    evaluation = next(iter(results.runs[shown[0]].values()))["evaluation"]
    counts = np.array(evaluation["confusion"]).sum(0) + np.array(evaluation.get("missed", 0))
    return view.class_figure(names, scores, (counts / counts.sum()).tolist(), NAMES)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.strip("()").split(","))
