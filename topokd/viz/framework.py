"""Figure 2: the distillation framework as a diagram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from topokd.viz.style import MUTED, STUDENT, TEACHER, use_style
from topokd.viz.training import TERM_COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#22303c"


def figure2(
    teacher: tuple[str, Sequence[int]] = ("46.16 M", (2, 2, 2, 6, 2)),
    student: tuple[str, Sequence[int]] = ("2.78 M", (1, 1, 1, 2, 1)),
) -> Figure:
    """Draw the teacher above, the student below, and the three distillation terms between them.

    Args:
        teacher: number of parameters and encoder depths.
        student: the same.
    """
    use_style()
    kd, topology, saliency, labels = (TERM_COLORS[term] for term in ("kd", "topo", "grad", "seg"))
    figure, axes = plt.subplots(figsize=(10.5, 5.9))
    axes.set(xlim=(0, 120), ylim=(-8, 64.5))
    axes.axis("off")
    axes.grid(visible=False)

    _cloud(axes, 7, 30)
    axes.text(7, 20.5, "scan $X$\n(voxels)", ha="center", va="top", fontsize=10, color=INK)
    top, bottom = 50.0, 10.0
    t_stage = _network(axes, top, f"Teacher, frozen · {teacher[0]} parameters", teacher[1], TEACHER, 1.0)
    s_stage = _network(axes, bottom, f"Student, trained · {student[0]} parameters", student[1], STUDENT, 0.72)
    for y in (top, bottom):
        _arrow(axes, (12.5, 30 + (3 if y > 30 else -3)), (19.2, y), MUTED, curve=-0.25 if y > 30 else 0.25)

    # Compared quantities from left to right: saliency on every stage, topology on the last one, class scores.
    _box(axes, 21, 23.2, 27, 14.2, saliency, r"Saliency alignment  $L_{grad}$", (
        "ω: gradient of the loss per channel",
        "M: sum over channels of |ω F|",
        "maps compared, cloud by cloud",
    ))  # fmt: skip
    _box(axes, 51.5, 23.2, 32, 14.2, topology, r"Topological distillation  $L_{topo}$", (
        "points far apart in the teacher",
        "Vietoris–Rips diagrams, degrees 0 and 1",
        "persistence-weighted Chamfer distance",
    ))  # fmt: skip
    _box(axes, 85.5, 23.2, 24.5, 14.2, kd, r"Logit distillation  $L_{kd}$", (
        "softmax at temperature T",
        "Kullback–Leibler divergence",
        "times T²",
    ))  # fmt: skip
    for k, x in enumerate((24.5, 29.5, 34.5, 39.5, 44.5)):
        _arrow(axes, (t_stage[k], top - 5.1 + 0.5 * k), (x, 37.9), saliency, width=1.0)
        _arrow(axes, (s_stage[k], bottom + 3.9 - 0.35 * k), (x, 22.7), saliency, width=1.0, both=True)
    _arrow(axes, (t_stage[4] + 1.6, top - 3.1), (66, 37.9), topology, curve=-0.18)
    _arrow(axes, (s_stage[4] + 1.6, bottom + 2.5), (66, 22.7), topology, curve=0.18, both=True)
    _arrow(axes, (97.75, top - 1.9), (97.75, 37.9), kd)
    _arrow(axes, (97.75, bottom + 1.9), (97.75, 22.7), kd, both=True)

    _label(axes, 113.6, bottom, "labels $y$", labels)
    _arrow(axes, (110.0, bottom), (102.6, bottom), labels, both=True)
    axes.text(106.3, bottom + 1.4, "$L_{seg}$", ha="center", fontsize=11, color=labels)
    axes.text(
        60, -8.6,
        r"$L_{total} = L_{seg} + \lambda_{topo} L_{topo} + \lambda_{grad} L_{grad} + \lambda_{kd} L_{kd}$"
        "        two-headed arrows: gradients flow back to the student",
        ha="center", va="bottom", fontsize=11, color=INK,
    )  # fmt: skip
    return figure


def _network(axes: Axes, y: float, title: str, depths: Sequence[int], color: str, scale: float) -> list[float]:
    """Draw encoder stages, decoder and head in a row at height ``y``; returns the centres of the stages."""
    heights = [s * scale for s in (9.5, 8.6, 7.6, 6.6, 5.6)]
    starts = [20 + 6.6 * k for k in range(5)]
    for k, (x, height, depth) in enumerate(zip(starts, heights, depths, strict=True)):
        _slab(axes, x, y, 4.6, height, color, f"$F^{k + 1}$\n×{depth}")
        if k < 4:
            _arrow(axes, (x + 4.7, y), (x + 6.5, y), color, width=1.0)
    _arrow(axes, (starts[-1] + 4.7, y), (60.8, y), color, width=1.0)
    for k, height in enumerate((5.8, 6.8, 7.8, 8.8)):
        _slab(axes, 61 + 6.2 * k, y, 4.4, height * scale, color, "", alpha=0.09)
        if k < 3:
            _arrow(axes, (61 + 6.2 * k + 4.5, y), (61 + 6.2 * k + 6.1, y), color, width=1.0)
    _arrow(axes, (84.1, y), (92.9, y), color, width=1.0)
    outward = 1 if y > 30 else -1
    for k, height in enumerate((5.8, 6.8, 7.8, 8.8)):  # the decoder's k-th stage reads encoder stage 4 - k as well
        left, right = starts[3 - k] + 2.3, 61 + 6.2 * k + 2.2
        level = y + outward * (heights[0] / 2 + 0.9 + 0.8 * k)
        path = [(left, y + outward * (heights[3 - k] / 2 + 0.2)), (left, level), (right, level)]
        axes.plot(*zip(*path, strict=True), color=MUTED, linewidth=0.8, zorder=1)
        _arrow(axes, (right, level), (right, y + outward * (height * scale / 2 + 0.2)), MUTED, width=0.8)
    _label(axes, 97.75, y, "class scores", color)
    up = 1 if y > 30 else -1
    for x, text in ((35.5, "encoder, ×: blocks per stage"), (53.4, "skip connections"), (72.5, "decoder")):
        axes.text(x, y + up * (heights[0] / 2 + 5.1), text, ha="center", va="center", fontsize=9, color=MUTED)
    axes.text(
        60,
        y + up * (heights[0] / 2 + 7.9),
        title,
        ha="center",
        va="center",
        fontsize=12,
        fontweight="bold",
        color=color,
    )
    return [x + 2.3 for x in starts]


def _slab(
    axes: Axes, x: float, y: float, width: float, height: float, color: str, text: str, alpha: float = 0.16
) -> None:
    for face, edge, opacity in ((color, "none", alpha), ("none", color, 1.0)):
        shape = "round,pad=0.1,rounding_size=0.6"
        axes.add_patch(
            FancyBboxPatch((x, y - height / 2), width, height, boxstyle=shape, fc=face, ec=edge, alpha=opacity, lw=1.3)
        )
    axes.text(x + width / 2, y, text, ha="center", va="center", fontsize=10, color=INK, linespacing=1.1)


def _label(axes: Axes, x: float, y: float, text: str, color: str) -> None:
    box = dict(boxstyle="round,pad=0.5,rounding_size=0.5", fc="white", ec=color, linewidth=1.3)
    axes.text(x, y, text, ha="center", va="center", fontsize=9.5, color=INK, bbox=box)


def _box(
    axes: Axes, x: float, y: float, width: float, height: float, color: str, title: str, lines: Sequence[str]
) -> None:
    axes.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.2,rounding_size=1.2", fc="white", ec=color,
                       linewidth=1.8, zorder=3)
    )  # fmt: skip
    axes.text(x + width / 2, y + height - 2.4, title, ha="center", va="center", fontsize=11, fontweight="bold",
              color=INK, zorder=4)  # fmt: skip
    for k, line in enumerate(lines):
        axes.text(x + width / 2, y + height - 6.0 - 3.1 * k, line, ha="center", va="center", fontsize=9.2, color=INK,
                  zorder=4)  # fmt: skip


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    color: str,
    width: float = 1.6,
    curve: float = 0.0,
    both: bool = False,
) -> None:
    style, bend = "<|-|>" if both else "-|>", f"arc3,rad={curve}"
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle=style, connectionstyle=bend, mutation_scale=9, color=color, linewidth=width,
            shrinkA=0, shrinkB=0, zorder=2,
        )
    )  # fmt: skip


def _cloud(axes: Axes, x: float, y: float) -> None:
    """Draw a few rings of a scan, as an icon."""
    for radius in np.linspace(1.0, 5.4, 9):
        angle = np.linspace(0, 2 * np.pi, int(12 * radius) + 8, endpoint=False) + radius
        axes.scatter(x + radius * np.cos(angle), y + 1.25 * radius * np.sin(angle), s=2.2, color=MUTED, alpha=0.75,
                     linewidths=0)  # fmt: skip
