"""Figures of a study: trials, curves, paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from topokd.experiments.study.inference import equivalence_power, superiority_power
from topokd.viz.style import ACCENT, GREEN, MARKERS, MUTED, OCHRE, PLAIN, PURPLE, STUDENT, TEACHER, use_style

COLORS = (MUTED, TEACHER, STUDENT, ACCENT, GREEN, PURPLE, OCHRE, PLAIN)


def power_figure(designs: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Power over the true difference, a line per design, and the probability of showing equivalence if there is none.

    Args:
        designs: ``seeds``, ``sd`` of paired differences, ``alpha`` of one comparison and ``margin``, by name.
    """
    use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.2), width_ratios=(2, 1), sharey=True)
    effects = np.linspace(0.05, 3.0, 60)
    for k, (name, design) in enumerate(designs.items()):
        n, sd, alpha = design["seeds"], design["sd"], design["alpha"]
        color = COLORS[k % len(COLORS)]
        if n > 1:
            power = [superiority_power(float(effect), sd, n, alpha) for effect in effects]
            left.plot(effects, power, color=color, label=f"{name}, spread {sd:g}")
            right.bar([k], [equivalence_power(sd, n, design["margin"], 0.0, alpha)], color=color)
    left.axhline(0.8, color=MUTED, linestyle=":", linewidth=1)
    left.set(xlabel="true difference (points of mIoU)", ylabel="probability", ylim=(0, 1), xlim=(0, 3))
    left.set_title("to detect a difference", fontsize=10)
    right.set_xticks([])
    right.set_title("to show equivalence", fontsize=10)
    _legend(figure, 2)
    return figure


def trials_figure(study: Mapping[str, Any]) -> Figure | None:
    """mIoU of every trial over its index in the row's grid, a line per row; the marker of the chosen one is filled.

    Args:
        study: see `topokd.experiments.study.answer.answer`.

    Returns:
        None without trials.
    """
    if not study.get("trials"):
        return None
    use_style()
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    for k, row in enumerate(dict.fromkeys(trial["row"] for trial in study["trials"])):
        own = [trial for trial in study["trials"] if trial["row"] == row]
        places = [int(trial["unit"].rsplit("-", 1)[1]) for trial in own]
        color = study["colors"][row]
        axes.plot(
            places, [trial["miou"] for trial in own], color=color, marker=MARKERS[k % len(MARKERS)],
            markerfacecolor="white", label=study["labels"][row],
        )  # fmt: skip
        best = study["chosen"].get(row)
        if best:
            axes.plot(
                [int(best["unit"].rsplit("-", 1)[1])], [best["miou"]], MARKERS[k % len(MARKERS)], color=color, zorder=5
            )
    axes.set(xlabel="trial (index in the row's grid)", ylabel="mIoU on the tuning streets (%)")
    axes.set_xticks(range(max(int(trial["unit"].rsplit("-", 1)[1]) for trial in study["trials"]) + 1))
    _legend(figure, len(study["labels"]))
    return figure


def curves_figure(study: Mapping[str, Any]) -> Figure | None:
    """Validation during training, mean over seeds, a line per row: shows which still rise at the end.

    Args:
        study: see `trials_figure`.

    Returns:
        None without runs.
    """
    curves = {row: curve for row, curve in study.get("curves", {}).items() if len(curve["step"]) > 1}
    if not curves:
        return None
    use_style()
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    for k, (row, curve) in enumerate(curves.items()):
        axes.plot(
            curve["step"], curve["miou"], color=study["colors"].get(row, "#1b4965"), marker=MARKERS[k % len(MARKERS)],
            markersize=4, label=study["labels"].get(row, "Teacher"),
        )  # fmt: skip
    axes.set(xlabel="training step", ylabel="mIoU on a few validation scans (%)", xlim=(0, None), ylim=(0, None))
    _legend(figure, len(curves))
    return figure


def differences_figure(study: Mapping[str, Any]) -> Figure | None:
    """Paired differences with their 95 % intervals over seeds, streets and both, and the margin of equivalence.

    Args:
        study: see `trials_figure`.

    Returns:
        None without comparisons.
    """
    found = study.get("comparisons")
    if not found:
        return None
    use_style()
    figure, axes = plt.subplots(figsize=(7.2, 1.3 + 0.62 * len(found)))
    margin = study["plan"]["margin"]
    axes.axvspan(-margin, margin, color=MUTED, alpha=0.13, linewidth=0, label=f"within ±{margin:g}: no effect")
    axes.axvline(0, color=MUTED, linewidth=1)
    for y, record in enumerate(found):
        color = study["colors"][record["treatment"]]
        for k, (over, style) in enumerate((("seeds", "-"), ("streets", "--"), ("both", ":"))):
            low, high = record["intervals"][over]
            axes.plot([low, high], np.full(2, y + 0.2 * (k - 1)), style, color=color, linewidth=2)
            if y == 0:
                axes.plot([], [], style, color=MUTED, linewidth=2, label={"both": "seeds and streets"}.get(over, over))
        axes.plot([record["difference"]], [y], "o", color=color)
    labels = study["labels"]
    names = [f"{labels[r['treatment']]}\nagainst {labels[r['control']]}" for r in found]
    axes.set_yticks(range(len(found)), names, fontsize=9)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set(xlabel="difference in mIoU (points), with 95 % intervals over")
    _legend(figure, 4)
    return figure


def _legend(figure: Figure, entries: int) -> None:
    figure.legend(loc="outside lower center", ncols=min(entries, 3), fontsize=9)
