"""Figures of results: Figure 1 a (radar), the ablation, validation curves, IoU per class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from topokd.viz.style import ACCENT, MUTED, PLAIN, STUDENT, TEACHER, use_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TERMS = {"kd_topo": "+ topology", "kd_grad": "+ saliency", "full": "+ both"}
COLORS = {
    "teacher": TEACHER,
    "plain": PLAIN,
    "kd": ACCENT,
    "kd_topo": "#5b8e7d",
    "kd_grad": "#8e6c8a",
    "full": STUDENT,
}


def radar(
    axes: Axes,
    spokes: Mapping[str, tuple[float, float]],
    series: Mapping[str, Sequence[float | None]],
    colors: Mapping[str, str],
) -> None:
    """Polygons over ``spokes`` (label -> value at the centre, value at the rim; the first may be the larger one).

    ``series``: one value per spoke; where one is None the polygon has a gap. ``axes`` must be polar. Each
    spoke names its two ends.
    """
    angles = [math.pi / 2 - 2 * math.pi * k / len(spokes) for k in range(len(spokes))]
    for name, values in series.items():
        radii = [
            math.nan if v is None else min(max((v - low) / (high - low), 0.0), 1.0)
            for v, (low, high) in zip(values, spokes.values(), strict=True)
        ]
        width = 2.2 if name.startswith("Student") else 1.4
        outline = [*angles, angles[0]], [*radii, radii[0]]
        axes.plot(*outline, marker="o", markersize=4, label=name, color=colors[name], linewidth=width)
        if not any(map(math.isnan, radii)):
            axes.fill(angles, radii, color=colors[name], alpha=0.07)
    axes.set_xticks([angle % (2 * math.pi) for angle in angles], ["" for _ in angles])
    axes.set_yticks([0.25, 0.5, 0.75, 1.0], ["", "", "", ""])
    axes.set_ylim(-0.12, 1.0)
    axes.spines["polar"].set_visible(False)
    for angle, (label, (low, high)) in zip(angles, spokes.items(), strict=True):
        side = "center" if abs(math.cos(angle)) < 0.2 else "left" if math.cos(angle) > 0 else "right"
        height = "bottom" if math.sin(angle) > 0.2 else "top" if math.sin(angle) < -0.2 else "center"
        axes.text(angle, 1.10, f"{label}\n{low:g} to {high:g}", ha=side, va=height, fontsize=8.5, linespacing=1.3)


def figure1(
    reported: tuple[Mapping[str, tuple[float, float]], Mapping[str, Sequence[float | None]]],
    measured: tuple[Mapping[str, tuple[float, float]], Mapping[str, Sequence[float | None]]] | None,
    title: str,
) -> Figure:
    """Figure 1 a twice: the paper's numbers (from its tables), and this profile's under ``title``."""
    use_style()
    count = 2 if measured else 1
    figure, grid = plt.subplots(1, count, figsize=(6.4 * count, 5.6), subplot_kw={"projection": "polar"}, squeeze=False)
    palette = [MUTED, ACCENT, "#5b8e7d", "#8e6c8a", "#c08552"]
    for axes, content, heading in zip(grid[0], (reported, measured), ("Reported by the paper", title), strict=False):
        if content is None:
            continue
        spokes, series = content
        others = [name for name in series if not name.startswith(("Student", "Teacher"))]
        colors = dict(zip(others, palette, strict=False))
        for name in series:
            if name.startswith("Teacher"):
                colors[name] = TEACHER
            elif name.startswith("Student"):
                colors[name] = PLAIN if "without" in name else STUDENT
        radar(axes, spokes, series, colors)
        axes.set_title(heading, pad=46, fontsize=11, fontweight="bold")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncol=3, fontsize=8.5)
    return figure


def ablation_figure(
    scores: Mapping[str, Mapping[int, float]],
    means: Mapping[str, tuple[float, float]],
    gains: Mapping[str, Mapping[int, float]],
    gain_means: Mapping[str, tuple[float, float]],
    reported_gains: Mapping[str, Mapping[str, float]],
    names: Mapping[str, str],
    metric: str,
) -> Figure:
    """Left: mIoU of each variant. Right: gain of each term over KD alone, paired by seed, beside the reported gains.

    ``scores[variant][seed]`` and ``gains[variant][seed]`` are the dots; ``means`` and ``gain_means`` hold (mean,
    half-width of the 95 % interval, NaN for a single seed); ``reported_gains[variant][dataset]``.
    """
    use_style()
    rows, order = list(gains), list(scores)
    count = 2 if rows else 1
    ratios = (1.15, 1.0)[:count]
    figure, grid = plt.subplots(1, count, figsize=(5.5 * count, 3.9), width_ratios=ratios, squeeze=False)
    left, right = grid[0, 0], grid[0, -1]
    _dots(left, order, scores, means, names)
    left.set(xlabel=metric)
    left.set_title("Measured: dots are seeds, bars mean and 95 % interval", fontsize=10)
    if not rows:
        return figure
    _dots(right, rows, gains, gain_means, TERMS)
    markers = {"S.KITTI": "s", "Waymo": "^", "nuScenes": "D"}
    for dataset, marker in markers.items():
        known = [(reported_gains[v][dataset], y) for y, v in enumerate(rows) if dataset in reported_gains.get(v, {})]
        if known:
            x, y = np.array(known).T
            right.plot(x, y + 0.3, marker, color=MUTED, markersize=5, fillstyle="none", label=f"paper, {dataset}")
    right.axvline(0, color=MUTED, linewidth=1)
    right.set(xlabel="gain over KD alone (points of mIoU)")
    right.set_title("Gain of the terms, paired by seed", fontsize=10)
    right.set_ylim(len(rows) - 0.4, -0.6)
    right.legend(fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncol=3, handletextpad=0.2)
    return figure


def _dots(
    axes: Axes,
    order: Sequence[str],
    values: Mapping[str, Mapping[int, float]],
    means: Mapping[str, tuple[float, float]],
    names: Mapping[str, str],
) -> None:
    for y, variant in enumerate(order):
        color = COLORS.get(variant, MUTED)
        mean, half_width = means[variant]
        axes.errorbar(mean, y, xerr=None if math.isnan(half_width) else half_width, color=color, capsize=4, linewidth=2)
        axes.plot([mean], [y], "|", color=color, markersize=16, markeredgewidth=2.5)
        x = [values[variant][seed] for seed in sorted(values[variant])]
        axes.plot(x, np.full(len(x), y) - 0.18, "o", color=color, markersize=4.5, alpha=0.75)
    axes.set_yticks(range(len(order)), [names[v] for v in order])
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def validation_figure(curves: Mapping[str, tuple[Sequence[int], np.ndarray]], names: Mapping[str, str]) -> Figure:
    """Validation mIoU while training. ``curves[variant]`` = (steps (s,), percent (seeds, s)): mean, range."""
    use_style()
    figure, axes = plt.subplots(figsize=(7.2, 3.6))
    for variant, (steps, values) in curves.items():
        color = COLORS.get(variant, MUTED)
        axes.fill_between(steps, np.nanmin(values, 0), np.nanmax(values, 0), color=color, alpha=0.12, linewidth=0)
        axes.plot(steps, np.nanmean(values, 0), "o-", color=color, markersize=4, label=names[variant])
    axes.set(xlabel="training step", ylabel="validation mIoU (%)")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def class_figure(
    class_names: Sequence[str], scores: Mapping[str, Sequence[float]], shares: Sequence[float], names: Mapping[str, str]
) -> Figure:
    """IoU per class (percent, NaN where absent) of several variants, most frequent class first, beside its share."""
    use_style()
    order = sorted(range(len(class_names)), key=lambda i: (-shares[i], i))
    order = [i for i in order if shares[i] > 0]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.5, 0.24 * len(order) + 1.3), width_ratios=(4, 1), sharey=True, squeeze=True
    )
    y = np.arange(len(order))
    for k, (variant, values) in enumerate(scores.items()):
        x = np.nan_to_num([values[i] for i in order])
        left.plot(
            x, y, "o", color=COLORS.get(variant, MUTED), markersize=6, label=names[variant], alpha=0.9, zorder=3 + k
        )
    stacked = np.array([[values[i] for i in order] for values in scores.values()], float)
    if stacked.size:
        left.hlines(
            y, np.nan_to_num(stacked).min(0), np.nan_to_num(stacked).max(0), color=MUTED, linewidth=1, alpha=0.5
        )
    left.set_yticks(y, [class_names[i] for i in order])
    left.set(xlabel="IoU (%)", xlim=(-2, 102))
    left.invert_yaxis()
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3, fontsize=8.5)
    right.barh(y, [100 * shares[i] for i in order], color=MUTED, alpha=0.6)
    right.set(xlabel="share of points (%)", xscale="log")
    return figure
