"""Figures of a study: trials, curves, paired differences."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from topokd.experiments.study.inference import equivalence_power, superiority_power
from topokd.viz.style import ACCENT, GREEN, MARKERS, MUTED, OCHRE, PLAIN, PURPLE, STUDENT, TEACHER, use_style

PHONE = 4.8  # inches: letters of 9 points then have 9 CSS pixels on 346, which a phone of 390 has
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
            chance = equivalence_power(sd, n, design["margin"], 0.0, alpha)
            right.bar([k], [chance], color=color)
            right.annotate(f"{chance:.2f}", (k, chance), (0, 2), textcoords="offset points", ha="center", fontsize=9)
    left.axhline(0.8, color=MUTED, linestyle=":", linewidth=1)
    left.set(xlabel="true difference (points of mIoU)", ylabel="probability", ylim=(0, 1), xlim=(0, 3))
    left.set_title("to detect a difference", fontsize=10)
    right.set_xticks([])
    right.set_title("to show equivalence", fontsize=10)
    _legend(figure, [f"{name}, spread {design['sd']:g}" for name, design in designs.items()])
    return figure


def trials_figure(study: Mapping[str, Any]) -> Figure | None:
    """mIoU of every trial over the factor of its weights, a line per row; the marker of the chosen one is filled.

    Args:
        study: see `topokd.experiments.study.answer.answer`.

    Returns:
        None without trials.
    """
    if not study.get("trials"):
        return None
    use_style()
    figure, axes = plt.subplots(figsize=(PHONE, 3.2))
    rows = list(dict.fromkeys(trial["row"] for trial in study["trials"]))
    for k, row in enumerate(rows):
        own = sorted((trial for trial in study["trials"] if trial["row"] == row), key=lambda trial: trial["factor"])
        best = study["chosen"].get(row)
        look = {"color": study["colors"][row], "marker": MARKERS[k % len(MARKERS)]}
        axes.plot(
            [trial["factor"] for trial in own], [trial["miou"] for trial in own], **look,
            markerfacecolor="white", label=study["labels"][row],
        )  # fmt: skip
        chosen = [trial for trial in own if best and trial["unit"] == best["unit"]]
        axes.plot([t["factor"] for t in chosen], [t["miou"] for t in chosen], **look, linestyle="", zorder=5)
    axes.set(xlabel="factor of the weights, or of the profile's learning rate", ylabel="mIoU on the tuning streets (%)")
    axes.set_xscale("log")
    factors = sorted({trial["factor"] for trial in study["trials"]})
    ends = [10.0**power for power in range(-6, 7) if factors[0] / 2 < 10.0**power < 2 * factors[-1]]
    axes.set_xticks(ends, [f"{end:g}" for end in ends])
    _legend(figure, [study["labels"][row] for row in rows])
    return figure


def curves_figure(study: Mapping[str, Any]) -> Figure | None:
    """Validation during training, mean over seeds, a line per row: shows which still rise at the end.

    Args:
        study: see `trials_figure`.

    Returns:
        None without runs of a student.
    """
    curves = {row: curve for row, curve in study.get("curves", {}).items() if len(curve["step"]) > 1}
    if not set(curves) & set(study["labels"]):
        return None
    use_style()
    figure, axes = plt.subplots(figsize=(PHONE, 3.2))
    for k, (row, curve) in enumerate(curves.items()):
        axes.plot(
            curve["step"], curve["miou"], color=study["colors"].get(row, "#1b4965"), marker=MARKERS[k % len(MARKERS)],
            markersize=4, label=study["labels"].get(row, "Teacher"),
        )  # fmt: skip
    axes.set(xlabel="training step", ylabel="mIoU on a few validation scans (%)", xlim=(0, None), ylim=(0, None))
    _legend(figure, [study["labels"].get(row, "Teacher") for row in curves])
    return figure


def differences_figure(study: Mapping[str, Any]) -> Figure | None:
    """Paired differences with their 95 % intervals over seeds, streets and both, and the margin of equivalence.

    Args:
        study: see `trials_figure`.

    Returns:
        None without comparisons.
    """
    comparisons = study.get("comparisons")
    if not comparisons:
        return None
    use_style()
    figure, axes = plt.subplots(figsize=(PHONE, 1.3 + 0.76 * len(comparisons)))
    margin = study["plan"]["margin"]
    axes.axvspan(-margin, margin, color=MUTED, alpha=0.13, linewidth=0)
    axes.axvline(0, color=MUTED, linewidth=1)
    for y, record in enumerate(comparisons):
        color = study["colors"][record["treatment"]]
        for k, (over, style) in enumerate((("seeds", "-"), ("streets", "--"), ("both", ":"))):
            low, high = record["intervals"][over]
            axes.plot([low, high], np.full(2, y + 0.2 * (k - 1)), style, color=color, linewidth=2)
            if y == 0:
                axes.plot([], [], style, color=MUTED, linewidth=2, label={"both": "seeds and streets"}.get(over, over))
        axes.plot([record["difference"]], [y], "o", color=color)
    labels = study["labels"]
    names = [
        "\n".join(textwrap.wrap(f"{labels[r['treatment']]} against {labels[r['control']]}", 21)) for r in comparisons
    ]
    axes.set_yticks(range(len(comparisons)), names, fontsize=9)
    axes.set_ylim(len(comparisons) - 0.4, -0.6)
    axes.set(xlabel=f"points of mIoU; grey: no effect (±{margin:g})")
    _legend(figure, ["seeds and streets"] * 4, "95 % intervals over")
    return figure


def _legend(figure: Figure, labels: Sequence[str], title: str | None = None) -> None:
    """Below the axes, in as many columns as fit; a figure with many entries grows."""
    width, height = figure.get_size_inches()
    inches = 0.5 + 0.068 * max(map(len, labels), default=0)  # of an entry in letters of 9 points
    columns = max(1, min(len(labels), 3, int(width // inches)))
    figure.set_size_inches(width, height + 0.18 * max(0, -(-len(labels) // columns) - 2))
    figure.legend(loc="outside lower center", ncols=columns, fontsize=9, title=title, title_fontsize=9)
