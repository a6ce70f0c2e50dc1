"""The figure of dose and response."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from topokd.viz.style import ACCENT, MUTED, STUDENT, TEACHER, use_style

PANELS = {
    "distance": "topological distance to teacher",
    "miou": "mIoU (%)",
    "boundary_miou": "boundary mIoU (%)",
    "thin_fragments": "fragments per thin object",
    "fragments": "fragments per object",
    "ece": "calibration error, ECE (%)",
}
AXES = {
    "num_points": "M", "stage": "stage", "normalize": "normalisation", "dims": "degree", "gradient": "gradient",
}  # fmt: skip


def dose_figure(answer: Mapping[str, Any]) -> Figure | None:
    """Measures as functions of the gradient share of L_topo, and its variants compared with training without it.

    Args:
        answer: see `topokd.experiments.dose.answer.answer`; ``reference``, if it is there, has the value of every
            setting that variants change, as it is in the doses.

    Returns:
        None before two doses have runs.
    """
    doses = [arm for arm in answer["arms"] if arm["axis"] == "share"]
    variants = [arm for arm in answer["arms"] if arm["axis"] != "share" and arm["differences"]]
    if len(doses) < 2:
        return None
    use_style()
    lines = 3 if variants else 2
    figure, grid = plt.subplots(
        lines, 3, figsize=(10.4, 1.95 * 2 + (0.2 * len(variants) + 1.1 if variants else 0)),
        height_ratios=[1.95, 1.95, *([0.2 * len(variants) + 1.1] if variants else [])],
    )  # fmt: skip
    for axes, (measure, title) in zip(grid[:2].flat, PANELS.items(), strict=True):
        _over_doses(axes, doses, measure, title, answer["teacher"].get(measure))
    entries = {
        label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(list(entries.values()), list(entries), loc="outside upper center", ncols=3, fontsize=9)
    if variants:
        same = [arm for arm in doses if arm["share"] == variants[0]["share"]]
        shown = [*same, *variants]
        names = ["as above"] * len(same) + [_setting(arm["axis"], arm["value"]) for arm in variants]
        for k, measure in enumerate(("distance", "miou", "thin_fragments")):
            _variants(grid[2][k], shown, measure, names if k == 0 else [""] * len(shown))
        if settings := answer.get("reference"):
            own = ", ".join(_setting(axis, settings[axis]) for axis in AXES if axis in settings)
            grid[2][0].set_xlabel(textwrap.fill(f"as above: {own}", 36), fontsize=9)
    return figure


def _over_doses(
    axes: Axes, doses: Sequence[Mapping[str, Any]], measure: str, title: str, teacher: float | None
) -> None:
    """One line per seed, their mean, and the teacher's value."""
    place = np.arange(len(doses))
    seeds = sorted({seed for arm in doses for seed in arm["values"].get(measure, {})})
    values = np.array(
        [[_number(arm["values"].get(measure, {}).get(seed)) for seed in seeds] for arm in doses]
    )  # (k, s)
    for k, line in enumerate(values.T):
        axes.plot(place, line, color=STUDENT, alpha=0.35, linewidth=1, label="" if k else "student, one seed")
    means = [arm["means"].get(measure, np.nan) for arm in doses]
    axes.plot(place, means, color=STUDENT, marker="o", linewidth=2, label="student, mean over seeds")
    if teacher is not None and measure != "distance":
        axes.axhline(teacher, color=TEACHER, linestyle="--", linewidth=1, label="teacher")
    axes.set_title(title, fontsize=10)
    axes.set_xticks(place, [f"{100 * arm['share']:g}" for arm in doses])
    axes.set_xlabel("gradient of L_topo (% of L_seg's)", fontsize=9)


def _variants(axes: Axes, shown: Sequence[Mapping[str, Any]], measure: str, names: Sequence[str]) -> None:
    """Paired differences from dose 0 with their 95 % intervals, a line per variant."""
    for k, arm in enumerate(shown):
        difference = arm["differences"].get(measure)
        if difference:
            color = ACCENT if arm["axis"] == "share" else STUDENT
            axes.plot([difference["low"], difference["high"]], [k, k], color=color, linewidth=1.5)
            axes.plot([difference["mean"]], [k], "o", color=color)
    axes.axvline(0, color=MUTED, linewidth=1)
    axes.set_yticks(range(len(shown)), names)
    axes.invert_yaxis()
    share = f"{100 * shown[-1]['share']:g} %"
    axes.set_title(f"{PANELS[measure]}:\nchange by L_topo at {share}", fontsize=10)


def _setting(axis: str, value: Any) -> str:
    """A setting of L_topo.

    >>> _setting("dims", [0, 1]), _setting("num_points", 64), _setting("normalize", "mean_norm")
    ('degrees 0 and 1', 'M 64', 'normalisation mean norm')
    """
    values = value if isinstance(value, list) else [value]
    return f"{AXES[axis]}{'s' * (len(values) > 1)} {' and '.join(map(str, values)).replace('_', ' ')}"


def _number(value: float | None) -> float:
    return np.nan if value is None else value
