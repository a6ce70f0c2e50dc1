"""Figures of a study: trials, curves, paired differences."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from topokd.experiments.study.inference import equivalence_power, superiority_power
from topokd.project import TEACHER
from topokd.scans import SYNTHETIC
from topokd.viz.rows import signs
from topokd.viz.style import (
    ACCENT,
    GREEN,
    MUTED,
    OCHRE,
    PHONE,
    PLAIN,
    PURPLE,
    STUDENT,
    legend_below,
    use_style,
)
from topokd.viz.style import TEACHER as TEACHER_COLOR

TOGETHER, ABREAST = 8, 5  # rows whose trials share a panel at most; panels side by side where they do not
COLORS = (MUTED, TEACHER_COLOR, STUDENT, ACCENT, GREEN, PURPLE, OCHRE, PLAIN)


def places(study: Mapping[str, Any]) -> str:
    """What the scans of a study are grouped by: streets of the synthetic world, sequences of a benchmark.

    Examples:
        >>> places({"dataset": "synthetic"}), places({"dataset": "semantickitti"})
        ('streets', 'sequences')
    """
    return "streets" if study["dataset"] == SYNTHETIC else "sequences"


def power_figure(designs: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Power over the true difference, a line per design; and by name the chance to show equivalence if there is none.

    Args:
        designs: ``seeds``, ``sd`` of paired differences, ``alpha`` of one comparison and ``margin``, by name.
    """
    use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.2), width_ratios=(3, 2))
    names: dict[str, str] = {}
    effects = np.linspace(0.05, 3.0, 60)
    for k, (name, design) in enumerate(designs.items()):
        n, sd, alpha = design["seeds"], design["sd"], design["alpha"]
        color = COLORS[k % len(COLORS)]
        if n > 1:
            power = [superiority_power(float(effect), sd, n, alpha, design["margin"]) for effect in effects]
            left.plot(effects, power, color=color, label=f"{name}, SD {sd:g}")
            chance = equivalence_power(sd, n, design["margin"], 0.0, alpha)
            y = len(names)
            names[name] = name.replace(" (", "\n(")
            right.plot([0, chance], [y, y], color=color, linewidth=2, clip_on=False)
            right.plot([chance], [y], "o", color=color, clip_on=False, zorder=3)  # also where it is zero
            side = "left" if chance < 0.1 else "right" if chance > 0.9 else "center"
            text = f"{chance:.2f}" if chance >= 0.005 else "below 0.01"
            right.annotate(text, (chance, y), (0, 5), textcoords="offset points", ha=side, va="bottom", fontsize=9)
    left.axhline(0.8, color=MUTED, linestyle=":", linewidth=1)
    left.set(xlabel="true difference (points of mIoU)", ylabel="probability", ylim=(0, 1), xlim=(0, 3))
    left.set_title("to detect a difference", fontsize=10)
    right.set_yticks(range(len(names)), list(names.values()), fontsize=9)
    right.set_xticks([0, 0.5, 1])
    right.set(xlabel="probability", xlim=(0, 1), ylim=(len(names) - 0.5, -0.7))
    right.set_title("to show equivalence", fontsize=10)
    legend_below(figure, [f"{name}, SD {design['sd']:g}" for name, design in designs.items()])
    return figure


def trials_figure(study: Mapping[str, Any], networks: Iterable[str] = ()) -> Figure | None:
    """mIoU of every trial over the factor of its weights, a line per row; the marker of the chosen one is filled.

    Of more than `TOGETHER` rows each has a panel, beside the best trial of the row that most are compared with.

    Args:
        study: see `topokd.experiments.study.answer.answer`.
        networks: all networks of the profile that shows it, whose markers they keep here.

    Returns:
        None without trials.
    """
    if not study.get("trials"):
        return None
    use_style()
    rows = list(dict.fromkeys(trial["row"] for trial in study["trials"]))
    every = signs((*networks, TEACHER, *study["colors"]))
    if len(rows) <= TOGETHER:
        figure, axes = plt.subplots(figsize=(PHONE, 3.2))
        for row in rows:
            _plot_trials(axes, study, row, every[row])
        _name_factors(axes, study)
        axes.set(xlabel="factor of the weights, or of the profile's learning rate", ylabel=_tuning(study))
        legend_below(figure, [study["labels"][row] for row in rows])
        return figure
    lines = -(-len(rows) // ABREAST)
    size = (2.05 * ABREAST + 0.4, 1.2 * lines + 0.7)
    figure, grid = plt.subplots(lines, ABREAST, figsize=size, sharex=True, sharey=True, squeeze=False)
    reference = _usual_control(study)
    for axes, row in zip(grid.flat, rows, strict=False):
        if reference in study["chosen"]:
            best, color = study["chosen"][reference]["miou"], study["colors"][reference]
            label = f"best trial of “{study['labels'][reference]}”"
            axes.axhline(best, color=color, linestyle="--", linewidth=1.2, label=label)
        _plot_trials(axes, study, row, {"marker": "o", "linestyle": "-", "markersize": 4.5})
        _name_factors(axes, study)
        axes.minorticks_off()
        axes.set_title(textwrap.fill(study["labels"][row], 28), fontsize=9)
    for axes in grid.flat[len(rows) :]:
        axes.set_visible(False)
    figure.supxlabel("factor of the weights, or of the profile's learning rate", fontsize=10)
    figure.supylabel(_tuning(study), fontsize=10)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    if reference in study["chosen"]:
        figure.legend(handles[:1], labels[:1], loc="outside upper left", fontsize=9)
    return figure


def _plot_trials(axes: Axes, study: Mapping[str, Any], row: str, look: Mapping[str, Any]) -> None:
    own = sorted((trial for trial in study["trials"] if trial["row"] == row), key=lambda trial: trial["factor"])
    best = study["chosen"].get(row)
    style = {**look, "color": study["colors"][row]}
    x, y = [trial["factor"] for trial in own], [trial["miou"] for trial in own]
    axes.plot(x, y, **style, markerfacecolor="white", label=study["labels"][row])
    chosen = [trial for trial in own if best and trial["unit"] == best["unit"]]
    x, y = [trial["factor"] for trial in chosen], [trial["miou"] for trial in chosen]
    axes.plot(x, y, **{**style, "linestyle": ""}, zorder=5)


def _name_factors(axes: Axes, study: Mapping[str, Any]) -> None:
    axes.set_xscale("log")
    factors = sorted({trial["factor"] for trial in study["trials"]})
    ends = [10.0**power for power in range(-6, 7) if factors[0] / 2 < 10.0**power < 2 * factors[-1]]
    axes.set_xticks(ends, [f"{end:g}" for end in ends])


def _tuning(study: Mapping[str, Any]) -> str:
    return f"mIoU on the tuning {places(study)} (%)"


def _usual_control(study: Mapping[str, Any]) -> str | None:
    """The row that most rows of the plan are compared with; None without a comparison."""
    controls = [control for _, control in study["plan"].get("comparisons", [])]
    return max(dict.fromkeys(controls), key=controls.count, default=None)


def curves_figure(study: Mapping[str, Any], networks: Iterable[str] = ()) -> Figure | None:
    """Validation during training, mean over seeds, a line per row: shows which still rise at the end.

    Args:
        study: see `trials_figure`.
        networks: see `trials_figure`.

    Returns:
        None without runs of a student.
    """
    curves = {row: curve for row, curve in study.get("curves", {}).items() if len(curve["step"]) > 1}
    if not curves.keys() & study["labels"].keys():  # the teacher alone says nothing about the rows
        return None
    use_style()
    figure, axes = plt.subplots(figsize=(PHONE, 3.2))
    every = signs((*networks, TEACHER, *study["colors"]))
    for row, curve in curves.items():
        look: dict[str, Any] = {"color": study["colors"].get(row, TEACHER_COLOR), **every[row]}
        label = study["labels"].get(row, "Teacher")
        axes.plot(curve["step"], curve["miou"], **look, markersize=4, label=label)
    axes.set(xlabel="training step", xlim=(0, None), ylim=(0, None))
    axes.set_ylabel(f"mIoU (%),\n{_counted(study.get('validate_scans'))}")
    legend_below(figure, [study["labels"].get(row, "Teacher") for row in curves])
    return figure


def differences_figure(study: Mapping[str, Any]) -> Figure | None:
    """Paired differences with their 95 % intervals over seeds, places and both, and the margin of equivalence.

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
    margin, where = study["plan"]["margin"], places(study)
    over_what = {"seeds": "seeds", "streets": where, "both": f"seeds and {where}"}
    axes.axvspan(-margin, margin, color=MUTED, alpha=0.13, linewidth=0)
    axes.axvline(0, color=MUTED, linewidth=1)
    for y, record in enumerate(comparisons):
        color = study["colors"][record["treatment"]]
        for k, (over, style) in enumerate((("seeds", "-"), ("streets", "--"), ("both", ":"))):
            low, high = record["intervals"][over]
            axes.plot([low, high], np.full(2, y + 0.2 * (k - 1)), style, color=color, linewidth=2)
            if y == 0:
                axes.plot([], [], style, color=MUTED, linewidth=2, label=over_what[over])
        axes.plot([record["difference"]], [y], "o", color=color)
    labels = study["labels"]
    names = [
        "\n".join(textwrap.wrap(f"{labels[r['treatment']]} against {labels[r['control']]}", 21)) for r in comparisons
    ]
    axes.set_yticks(range(len(comparisons)), names, fontsize=9)
    axes.set_ylim(len(comparisons) - 0.4, -0.6)
    axes.set(xlabel=f"points of mIoU; grey: no effect (±{margin:g})")
    legend_below(figure, list(over_what.values()), "95 % intervals over")
    return figure


def _counted(scans: int | None) -> str:
    """The scans of a validation during training; answers of older versions do not have their number."""
    if scans is None:
        return "part of the validation scans"
    return f"{scans} validation scan{'s' if scans != 1 else ''}"
