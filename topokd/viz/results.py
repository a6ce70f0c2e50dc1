"""Figures of results: Figure 1 a, the ablation, validation curves, IoU per class."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import matplotlib.pyplot as plt
import numpy as np

from topokd.viz.rows import Looks, signs
from topokd.viz.style import MARKERS, MUTED, PHONE, legend_below, use_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REPORTED_MARKERS = {"SemanticKITTI": "s", "Waymo": "^", "nuScenes": "D"}  # gains of the paper, by data set


class Dots(NamedTuple):
    """One small panel per quantity, one line per network.

    Args:
        panels: by label of the quantity, the value of each network (None where there is none).
        colors: by network, in the order of the lines.
        bold: networks with their names in bold.
        from_zero: quantities with an axis that starts at zero.
        half_widths: by label of the quantity, the half-width of each network's interval (none if NaN or absent).
        form: how values are written: "g" as they are, "#.3g" with three digits.
        markers: by network; without one it has that of its place.
    """

    panels: Mapping[str, Mapping[str, float | None]]
    colors: Mapping[str, str]
    bold: Collection[str] = ()
    from_zero: Collection[str] = ()
    half_widths: Mapping[str, Mapping[str, float]] = {}
    form: str = "g"
    markers: Mapping[str, str] = {}


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


def dots_figure(reported: Dots, measured: Dots | None, title: str) -> Figure:
    """Figure 1 a as dots: the paper's numbers (from its tables) above, this profile's below ``title``.

    Args:
        reported: the paper's numbers.
        measured: those of the profile; None before there are runs.
        title: title of the lower half.
    """
    use_style()
    shown = [("Reported by the paper", reported)] + ([(title, measured)] if measured else [])
    heights = [0.25 * len(dots.colors) + 0.95 for _, dots in shown]
    figure = plt.figure(figsize=(9.2, sum(heights)))  # a phone has room for the names and one panel
    parts = np.atleast_1d(figure.subfigures(len(shown), 1, height_ratios=heights))
    for part, (heading, dots) in zip(parts, shown, strict=True):
        grid = part.subplots(1, len(dots.panels), sharey=True, squeeze=False)[0]
        part.suptitle(heading, fontsize=11, fontweight="bold", x=0.01, ha="left")
        for axes, (label, values) in zip(grid, dots.panels.items(), strict=True):
            _plot_dots(axes, values, dots.half_widths.get(label, {}), dots)
            axes.set_xlabel(label, fontsize=9.5)
            if label in dots.from_zero:
                axes.set_xlim(left=-0.14 * axes.get_xlim()[1])
        grid[0].set_yticks(range(len(dots.colors)), list(dots.colors), fontsize=9)
        for text in grid[0].get_yticklabels():
            text.set_fontweight("bold" if text.get_text() in dots.bold else "normal")
    return figure


def _plot_dots(axes: Axes, values: Mapping[str, float | None], half_widths: Mapping[str, float], dots: Dots) -> None:
    known = {name: value for name, value in values.items() if value is not None}
    for y, (name, color) in enumerate(dots.colors.items()):
        if name in known:
            value, size = known[name], 7 if name in dots.bold else 5.5
            width = half_widths.get(name, math.nan)
            bar = None if math.isnan(width) else width
            marker = dots.markers.get(name, MARKERS[y % len(MARKERS)])
            axes.errorbar(value, y, xerr=bar, fmt=marker, color=color, markersize=size, capsize=3)
            text = f"{value:{dots.form}}".rstrip(".")
            axes.annotate(text, (value, y), (0, 5.5), textcoords="offset points", ha="center", fontsize=9)
        else:
            axes.text(0.5, y, "–", color=MUTED, ha="center", va="center", transform=axes.get_yaxis_transform())
    axes.set_ylim(len(dots.colors) - 0.5, -0.85)
    axes.margins(x=0.22)
    axes.locator_params(axis="x", nbins=4)
    axes.grid(axis="y", linestyle=":")


def ablation_figure(
    scores: Mapping[str, Seeds],
    gains: Mapping[str, Seeds],
    reported_gains: Mapping[str, Mapping[str, float]],
    shown: Looks,
    metric: str,
    over: str,
    margin: float = 0.0,
) -> Figure:
    """Left: mIoU of each network. Right: gain of each row over the row ``over``, beside the reported gains.

    Args:
        scores: mIoU in percent by network.
        gains: gains in points by row, paired by seed.
        reported_gains: gains of the paper in points, by row and data set.
        shown: labels and colours.
        metric: label of the left axis.
        over: label of the row that ``gains`` are over.
        margin: gains within plus and minus this many points count as none; shaded.
    """
    use_style()
    count = 2 if gains else 1
    ratios = (1.15, 1.0)[:count]
    height = max(1.4 + 0.34 * len(scores), 3.2)
    figure, grid = plt.subplots(1, count, figsize=(5.2 * count, height), width_ratios=ratios, squeeze=False)
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
    if margin:
        right.axvspan(
            -margin, margin, color=MUTED, alpha=0.13, linewidth=0, zorder=0, label=f"within ±{margin:g}: no effect"
        )
    right.set(xlabel=f"gain over “{over}” (points of mIoU)")
    right.set_title("Gain of the terms, paired by seed", fontsize=10)
    right.set_ylim(len(gains) - 0.4, -0.6)
    right.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.4, -0.17), ncol=2, handletextpad=0.2)
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


Curves = Mapping[str, tuple[Sequence[int], np.ndarray]]  # by network, steps (s,) and values (seeds, s)


def banded(series: Curves) -> list[str]:
    """Networks whose band from the lowest to the highest seed is drawn: the first and the last that have several seeds.

    Args:
        series: those of one panel.

    Examples:
        >>> two = np.zeros((2, 3))
        >>> banded({"plain": ([1, 2, 3], two), "kd": ([1, 2, 3], two[:1])})  # one seed has no band
        ['plain']
    """
    several = [network for network, (_, values) in series.items() if len(values) > 1]
    return several[:: max(1, len(several) - 1)]  # bands of more would hide one another


def validation_figure(curves: Curves, gains: Curves, shown: Looks, over: str, scans: str) -> Figure:
    """Validation mIoU during training, and the gain of each row over the row ``over`` at the same step.

    Args:
        curves: by network, steps (s,) and percent (seeds, s).
        gains: by row, steps (s,) and points (seeds, s), paired by seed.
        shown: labels and colours of all networks of the profile.
        over: label of the row that ``gains`` are over.
        scans: names the scans of the mIoU.
    """
    use_style()
    count = 2 if gains else 1
    width = 4.7 * count if gains else PHONE  # a phone has room for one panel
    figure, grid = plt.subplots(1, count, figsize=(width, 3.3), squeeze=False)
    for axes, series in zip(grid[0], (curves, gains), strict=False):
        bands = banded(series)
        for network, (steps, values) in series.items():
            color, style = shown[network].color, signs(shown)[network]
            if network in bands:
                low, high = np.nanmin(values, 0), np.nanmax(values, 0)
                axes.fill_between(steps, low, high, color=color, alpha=0.12, linewidth=0)
            mean, label = np.nanmean(values, 0), shown[network].label
            axes.plot(steps, mean, color=color, markersize=4.5, linewidth=1.3, label=label, **style)
        axes.set(xlabel="training step")
    grid[0, 0].set_ylabel(f"mIoU (%), {scans}")
    if gains:
        grid[0, 1].axhline(0, color=MUTED, linewidth=1)
        steps = sorted({step for row_steps, _ in gains.values() for step in row_steps})
        if len(steps) <= 5:
            grid[0, 1].set_xticks(steps)  # of so few, other steps would only suggest more
        grid[0, 1].set_ylabel(f"gain over “{over}”\n(points of mIoU)")
    legend_below(figure, [shown[network].label for network in curves])
    return figure


def class_figure(
    class_names: Sequence[str], scores: Mapping[str, Sequence[float]], shares: Sequence[float], shown: Looks
) -> Figure:
    """IoU per class of several networks, most frequent class first, beside the share of the class.

    Args:
        class_names: names of the classes.
        scores: by network, percent per class, NaN where absent.
        shares: share of each class in the points; classes with 0 are left out.
        shown: labels and colours of all networks of the profile.
    """
    use_style()
    order = sorted(range(len(class_names)), key=lambda i: (-shares[i], i))
    order = [i for i in order if shares[i] > 0]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(6.2, 0.23 * len(order) + 1.4), width_ratios=(2.6, 1.2), sharey=True, squeeze=True
    )  # a phone has room for the names and one panel
    y = np.arange(len(order))
    for k, (network, values) in enumerate(scores.items()):
        x = np.nan_to_num([values[i] for i in order])
        beside = y + 0.22 * (k - (len(scores) - 1) / 2)  # equal values are drawn side by side
        look = {"color": shown[network].color, "marker": signs(shown)[network]["marker"], "label": shown[network].label}
        left.plot(x, beside, linestyle="", markersize=5, zorder=3 + k, **look)
    stacked = np.array([[values[i] for i in order] for values in scores.values()], float)
    if stacked.size:
        left.hlines(
            y, np.nan_to_num(stacked).min(0), np.nan_to_num(stacked).max(0), color=MUTED, linewidth=1, alpha=0.5
        )
    left.set_yticks(y, [class_names[i] for i in order])
    highest = np.nan_to_num(stacked).max(initial=1.0)
    left.set(xlabel="IoU (%)", xlim=(-0.02 * highest, min(1.06 * highest, 102)))
    left.invert_yaxis()
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=9)
    percent = [100 * shares[i] for i in order]
    right.plot(percent, y, "o", color=MUTED, markersize=5)  # no bars: a logarithm has no zero for them to begin at
    right.set(xlabel="share of points (%)", xscale="log")
    low = 10.0 ** math.floor(math.log10(min(percent, default=1.0)))
    high = max([12 * low, *(2 * share for share in percent)])  # at least two powers of ten tell the scale
    powers = [power for exponent in range(3, -9, -1) if low <= (power := 10.0**exponent) <= high]
    named = powers[:: -(-len(powers) // 4)]
    right.set(xlim=(low / 1.3, high))
    right.set_xticks(named, [f"{power:g}" for power in named])
    right.minorticks_off()
    return figure
