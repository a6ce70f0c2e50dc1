"""Figures of results: Figure 1 a (radar), the ablation, validation curves, IoU per class."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import matplotlib.pyplot as plt
import numpy as np

from topokd.viz.rows import Looks
from topokd.viz.style import MUTED, use_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REPORTED_MARKERS = {"SemanticKITTI": "s", "Waymo": "^", "nuScenes": "D"}  # gains of the paper, by data set


class Radar(NamedTuple):
    """Polygons over spokes.

    Args:
        spokes: by label, the values at the centre and at the rim (the first may be the larger one).
        series: by name, one value per spoke; the polygon has a gap where one is None.
        colors: by name.
        bold: names drawn with a wide line.
    """

    spokes: Mapping[str, tuple[float, float]]
    series: Mapping[str, Sequence[float | None]]
    colors: Mapping[str, str]
    bold: Collection[str] = ()


class Seeds(NamedTuple):
    """Values by seed, and their mean with its interval (half-width NaN for a single seed)."""

    values: Mapping[int, float]
    mean: Mean


@runtime_checkable
class Mean(Protocol):
    """A mean and the half-width of its 95 % interval (`topokd.paper.statistics.Interval`)."""

    @property
    def mean(self) -> float:
        """The mean."""

    @property
    def half_width(self) -> float:
        """Half-width of the interval."""


def plot_radar(axes: Axes, radar: Radar) -> None:
    """Draw ``radar`` on polar axes; each spoke names its two ends."""
    spokes, series, colors, bold = radar
    angles = [math.pi / 2 - 2 * math.pi * k / len(spokes) for k in range(len(spokes))]
    for name, values in series.items():
        radii = [
            math.nan if v is None else min(max((v - low) / (high - low), 0.0), 1.0)
            for v, (low, high) in zip(values, spokes.values(), strict=True)
        ]
        width = 2.2 if name in bold else 1.4
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


def radar_figure(reported: Radar, measured: Radar | None, title: str) -> Figure:
    """Figure 1 a twice: the paper's numbers (from its tables), and this profile's below ``title``."""
    use_style()
    shown = [("Reported by the paper", reported)] + ([(title, measured)] if measured else [])
    figure, grid = plt.subplots(
        1, len(shown), figsize=(6.4 * len(shown), 5.6), subplot_kw={"projection": "polar"}, squeeze=False
    )
    for axes, (heading, radar) in zip(grid[0], shown, strict=True):
        plot_radar(axes, radar)
        axes.set_title(heading, pad=46, fontsize=11, fontweight="bold")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncol=3, fontsize=8.5)
    return figure


def ablation_figure(
    scores: Mapping[str, Seeds],
    gains: Mapping[str, Seeds],
    reported_gains: Mapping[str, Mapping[str, float]],
    shown: Looks,
    metric: str,
    over: str,
) -> Figure:
    """Left: mIoU of each network. Right: gain of each row over the row ``over``, beside the reported gains.

    Args:
        scores: mIoU in percent by network.
        gains: gains in points by row, paired by seed.
        reported_gains: gains of the paper in points, by row and data set.
        shown: labels and colours.
        metric: label of the left axis.
        over: label of the row that ``gains`` are over.
    """
    use_style()
    count = 2 if gains else 1
    ratios = (1.15, 1.0)[:count]
    figure, grid = plt.subplots(1, count, figsize=(5.5 * count, 3.9), width_ratios=ratios, squeeze=False)
    left, right = grid[0, 0], grid[0, -1]
    _plot_seeds(left, scores, shown, [shown[name].label for name in scores])
    left.set(xlabel=metric)
    left.set_title("Measured: dots are seeds, bars mean and 95 % interval", fontsize=10)
    if not gains:
        return figure
    _plot_seeds(right, gains, shown, [getattr(shown[row], "short", shown[row].label) for row in gains])
    for dataset, marker in REPORTED_MARKERS.items():
        known = [(reported_gains[v][dataset], y) for y, v in enumerate(gains) if dataset in reported_gains.get(v, {})]
        if known:
            x, y = np.array(known).T
            right.plot(x, y + 0.3, marker, color=MUTED, markersize=5, fillstyle="none", label=f"paper, {dataset}")
    right.axvline(0, color=MUTED, linewidth=1)
    right.set(xlabel=f"gain over “{over}” (points of mIoU)")
    right.set_title("Gain of the terms, paired by seed", fontsize=10)
    right.set_ylim(len(gains) - 0.4, -0.6)
    right.legend(fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncol=3, handletextpad=0.2)
    return figure


def _plot_seeds(axes: Axes, series: Mapping[str, Seeds], shown: Looks, names: Sequence[str]) -> None:
    for y, (network, (values, interval)) in enumerate(series.items()):
        color, half_width = shown[network].color, interval.half_width
        width = None if math.isnan(half_width) else half_width
        axes.errorbar(interval.mean, y, xerr=width, color=color, capsize=4, linewidth=2)
        axes.plot([interval.mean], [y], "|", color=color, markersize=16, markeredgewidth=2.5)
        x = [values[seed] for seed in sorted(values)]
        axes.plot(x, np.full(len(x), y) - 0.18, "o", color=color, markersize=4.5, alpha=0.75)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def validation_figure(curves: Mapping[str, tuple[Sequence[int], np.ndarray]], shown: Looks) -> Figure:
    """Validation mIoU during training: mean and range over seeds.

    Args:
        curves: by network, steps (s,) and percent (seeds, s).
        shown: labels and colours.
    """
    use_style()
    figure, axes = plt.subplots(figsize=(7.2, 3.6))
    for network, (steps, values) in curves.items():
        color = shown[network].color
        axes.fill_between(steps, np.nanmin(values, 0), np.nanmax(values, 0), color=color, alpha=0.12, linewidth=0)
        axes.plot(steps, np.nanmean(values, 0), "o-", color=color, markersize=4, label=shown[network].label)
    axes.set(xlabel="training step", ylabel="validation mIoU (%)")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def class_figure(
    class_names: Sequence[str], scores: Mapping[str, Sequence[float]], shares: Sequence[float], shown: Looks
) -> Figure:
    """IoU per class of several networks, most frequent class first, beside the share of the class.

    Args:
        class_names: names of the classes.
        scores: by network, percent per class, NaN where absent.
        shares: share of each class in the points; classes with 0 are left out.
        shown: labels and colours.
    """
    use_style()
    order = sorted(range(len(class_names)), key=lambda i: (-shares[i], i))
    order = [i for i in order if shares[i] > 0]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.5, 0.24 * len(order) + 1.3), width_ratios=(4, 1), sharey=True, squeeze=True
    )
    y = np.arange(len(order))
    for k, (network, values) in enumerate(scores.items()):
        x = np.nan_to_num([values[i] for i in order])
        left.plot(
            x, y, "o", color=shown[network].color, markersize=6, label=shown[network].label, alpha=0.9, zorder=3 + k
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
