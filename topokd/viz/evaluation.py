"""Figures of an evaluation: the confusion matrix; IoU by range, distance to a boundary, class frequency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from topokd.viz.rows import Looks, signs
from topokd.viz.style import use_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_figure(
    matrices: Mapping[str, Int64[ndarray, "c c"]],
    missed: Mapping[str, Int64[ndarray, " c"]],
    class_names: Sequence[str],
) -> Figure:
    """Per network, the share of the points of each true class (row) predicted as each class (column), in percent.

    Classes absent from truth and prediction are left out; shares from 1 % on are printed.

    Args:
        matrices: by label of the network; rows are predictions, as in `ConfusionMatrix`.
        missed: by label, points of each true class without a predicted class.
        class_names: names of the classes.
    """
    use_style()
    counted = sum(m.sum(0) + m.sum(1) + missed[name] for name, m in matrices.items()) > 0
    shown = np.flatnonzero(counted)
    size = max(0.22 * len(shown), 2.0)  # inches: at 19 classes, letters of 7 points on a page
    figure, grid = plt.subplots(
        1, len(matrices), figsize=(size * len(matrices) + 2.2, size + 1.5), sharey=True, squeeze=False
    )
    names = [class_names[k] for k in shown]
    image = None
    for axes, (name, matrix) in zip(grid[0], matrices.items(), strict=True):
        truth = (matrix.sum(0) + missed[name])[shown]
        share = 100 * matrix.T[np.ix_(shown, shown)] / np.maximum(truth, 1)[:, None]  # rows: truth
        image = axes.imshow(np.where(truth[:, None] > 0, share, np.nan), vmin=0, vmax=100, cmap="Blues")
        for row, column in zip(*np.nonzero(share >= 0.995), strict=True):
            value = share[row, column]
            color = "white" if value > 55 else "#20303c"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color=color)
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.set(title=name, xlabel="predicted")
        axes.grid(False)
    grid[0, 0].set_ylabel("true class")
    if image is not None:
        figure.colorbar(image, ax=grid[0].tolist(), label="share of the true class (%)", fraction=0.02, pad=0.01)
    return figure


def breakdown_figure(records: Mapping[str, Mapping[str, Any]], shown: Looks) -> Figure:
    """mIoU by range, by distance to the nearest other class, and by class frequency.

    Args:
        records: by network, a `topokd.evaluation.breakdown.Breakdown.record`.
        shown: labels and colours of all networks of the profile.
    """
    use_style()
    figure, axes = plt.subplots(1, 3, figsize=(11.0, 3.5), sharey=True)
    first = next(iter(records.values()))
    highest = 0.0
    for k, (network, record) in enumerate(records.items()):
        style: dict[str, Any] = {
            "color": shown[network].color, "label": shown[network].label,
            "markersize": 5.5, **signs(shown)[network],
        }  # fmt: skip
        for ax, part in ((axes[0], record["range"]), (axes[1], record["border"])):
            values = [np.nan if p["miou"] is None else p["miou"] for p in part]
            ax.plot(values, **style)
            highest = max(highest, np.nanmax([*values, 0.0]))
        groups = [np.nan if g["miou"] is None else g["miou"] for g in record["frequency"].values()]
        beside = 0.14 * (k - (len(records) - 1) / 2)  # equal values are drawn side by side
        axes[2].plot(np.arange(len(groups)) + beside, groups, clip_on=False, **{**style, "linestyle": ""})
        highest = max(highest, np.nanmax([*groups, 0.0]))
    for ax, part, unit, title in (
        (axes[0], first["range"], "m", "By distance to the sensor"),
        (axes[1], first["border"], "m", "By distance to another class"),
    ):
        points = max(sum(p["points"] for p in part), 1)
        ticks = [f"{_span(p['from_m'], p['to_m'])}\n{100 * p['points'] / points:.0f} %" for p in part]
        ax.set_xticks(range(len(part)), ticks, fontsize=8.5)
        ax.set(title=title, xlabel=f"{unit}; below: share of the labelled points")
    groups = [f"{group}\n{len(scores['classes'])} classes" for group, scores in first["frequency"].items()]
    axes[2].set_xticks(range(len(groups)), groups, fontsize=8.5)
    axes[2].set(title="By frequency of the class", xlim=(-0.5, len(groups) - 0.5))
    axes[0].set(ylabel="mIoU over the classes there (%)", ylim=(0, min(1.1 * highest, 102) or 1))
    axes[2].legend(fontsize=8.5)
    return figure


def _span(low: float, high: float | None) -> str:
    return f"> {low:g}" if high is None or np.isinf(high) else f"{low:g}–{high:g}"
