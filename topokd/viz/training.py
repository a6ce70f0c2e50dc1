"""Curves and class tables of training runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import NullFormatter

from topokd.viz.style import ACCENT, GREEN, MUTED, OCHRE, PLAIN, PURPLE, STUDENT, TEACHER, line_style, use_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TERM_COLORS = {  # of the loss terms of Eq. 8; a row of params.yaml that adds one of them has its colour
    "total": MUTED, "seg": "#22303c", "kd": ACCENT, "topo": "#009e73", "grad": "#9b5de5",
}  # fmt: skip
OTHER_TERMS = (STUDENT, PLAIN, GREEN, OCHRE, PURPLE, TEACHER)  # of further terms


def term_colors(names: Iterable[str]) -> dict[str, str]:
    """The colour of each loss term, in every figure: its own, or for a term outside Eq. 8 the next of `OTHER_TERMS`.

    Args:
        names: the terms, each once.

    Examples:
        >>> term_colors(["kd", "at"]) == {"kd": ACCENT, "at": STUDENT}
        True
    """
    others = itertools.cycle(OTHER_TERMS)
    return {name: TERM_COLORS[name] if name in TERM_COLORS else next(others) for name in names}


def history_figure(record: dict[str, Any]) -> Figure:
    """Loss terms (each before its weight), learning rate, and validation mIoU of one run record."""
    use_style()
    history = record["history"]
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3))
    curves = dict(history["terms"])
    if len(curves) > 1:
        curves = {"total": history["loss"], **curves}
    colors = term_colors(curves)
    for name, values in curves.items():
        left.plot(history["step"], values, label=f"$L_{{{name}}}$", color=colors[name], linewidth=1.4)
    left.set(xlabel="step", ylabel="loss", yscale="log", title="Loss and its terms" if len(curves) > 1 else "Loss")
    low, high = left.get_ylim()
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter("{x:g}" if high < 10 * low else NullFormatter())
    if len(curves) > 1:
        place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2)}
        left.legend(fontsize=9, ncols=5, columnspacing=1, handlelength=1, **place)
    middle.plot(history["step"], history["lr"], color=TEACHER)
    middle.set(xlabel="step", ylabel="learning rate", title="One-cycle schedule")
    miou = [float("nan") if value is None else 100 * value for value in history["val_miou"]]
    right.plot(history["val_step"], miou, "o-", color=STUDENT, clip_on=False, zorder=3)
    right.set(xlabel="step", ylabel="mIoU (%)", title="Validation while training")
    best = max((value for value in miou if value == value), default=0.0)
    right.set(xlim=(0, None), ylim=(0, 1.08 * best if best > 0 else 1.0))
    return figure


def share_figure(
    shares: Mapping[str, Mapping[str, tuple[Sequence[int], np.ndarray]]],
    titles: Mapping[str, str],
    limits: tuple[float, float],
) -> Figure:
    """Gradient norm of each weighted term in percent of that of the segmentation loss, a panel per row.

    Args:
        shares: by row and term, steps (s,) and percent (seeds, s).
        titles: by row.
        limits: percent; below the first and above the second a run warns of the term.
    """
    use_style()
    columns = min(len(shares), 4)
    lines = -(-len(shares) // columns)
    size = (2.7 * columns + 0.6, 2.6 * lines + 0.5)
    figure, grid = plt.subplots(lines, columns, figsize=size, sharex=True, sharey=True, squeeze=False)
    names = list(dict.fromkeys(name for terms in shares.values() for name in terms))
    colors = term_colors(names)
    seen: dict[str, Any] = {}
    for axes, (row, terms) in zip(grid.flat, shares.items(), strict=False):
        for name, (steps, percent) in terms.items():
            look: dict[str, Any] = {"color": colors[name], **line_style(names.index(name))}
            shown = np.where(percent > 0, percent, np.nan)  # a logarithm has no zero
            mean = np.exp(np.log(shown).mean(0))  # geometric, as the axis
            axes.fill_between(steps, shown.min(0), shown.max(0), color=colors[name], alpha=0.15, linewidth=0)
            (seen[name],) = axes.plot(steps, mean, markersize=4, linewidth=1.4, **look)
        for limit in limits:
            axes.axhline(limit, color=MUTED, linewidth=1, linestyle=":")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_title(titles[row], fontsize=10)
    for axes in grid.flat[len(shares) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("training step")
    figure.supylabel("gradient (% of segmentation's)", fontsize=10)
    labels = [rf"$\lambda L_{{\mathrm{{{name.replace('_', ' ')}}}}}$" for name in seen]
    figure.legend(list(seen.values()), labels, loc="outside lower center", ncols=min(len(seen), 6), fontsize=12)
    return figure


def class_table(record: dict[str, Any]) -> pd.DataFrame:
    """IoU per class in percent, best first, without the classes absent from truth and prediction."""
    evaluation = record["evaluation"]
    rows = [
        {"class": name, "IoU (%)": round(100 * iou, 1)}
        for name, iou in zip(evaluation["class_names"], evaluation["iou"], strict=True)
        if iou is not None
    ]
    return pd.DataFrame(rows, columns=["class", "IoU (%)"]).sort_values(
        ["IoU (%)", "class"], ascending=[False, True], ignore_index=True
    )


def conclusion(record: dict[str, Any]) -> str:
    """The outcome of a run in sentences."""
    history, evaluation = record["history"], record["evaluation"]
    table = class_table(record)
    text = (
        f"**{record['run']}** ({record['parameters']:,} parameters) reaches "
        f"**{100 * evaluation['miou_skip']:.1f} mIoU** "
        f"over the classes present ({100 * evaluation['accuracy']:.1f} % of {evaluation['points']:,} points correct) "
        f"after {record['steps']} steps; its loss went from {history['loss'][0]:.2f} to {history['loss'][-1]:.2f}. "
    )
    if len(table):
        text += f"Best class: {table['class'].iloc[0]}, weakest: {table['class'].iloc[-1]}. "
    if record["terms"]:
        text += f"Loss terms of Eq. 8 besides the cross-entropy: {', '.join(record['terms'])}. "
    if len(history["val_miou"]) > 1:
        first, last = history["val_miou"][-2:]
        if first is not None and last is not None:
            moving = "still rising" if last > first + 0.005 else "level" if last > first - 0.005 else "falling"
            text += f"Its validation mIoU was {moving} at the end of training."
    return text.strip()
