"""Figures of persistence: diagrams, barcodes and filtrations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.ticker import MaxNLocator, NullFormatter
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection

from topokd.topology.persistence import Persistence
from topokd.viz.style import HOMOLOGY, MUTED, PLAIN, STUDENT, TEACHER, use_style

Diagrams = Sequence[Any]  # one (K, 2) tensor or array per degree


def _arrays(diagrams: Diagrams) -> list[np.ndarray]:
    return [np.asarray(d.detach().cpu() if hasattr(d, "detach") else d, dtype=float).reshape(-1, 2) for d in diagrams]


def _label(dim: int) -> str:
    return f"$H_{dim}$"


def plot_diagram(axes: Axes, diagrams: Diagrams, *, marker: str = "o", size: float = 16, filled: bool = True) -> Axes:
    """Draw deaths against births, one colour per degree, with the diagonal.

    Args:
        axes: the axes to draw on.
        diagrams: (k, 2) pairs per degree.
        marker: marker of the points.
        size: size of the points.
        filled: whether points are filled or rings.

    Examples:
        >>> figure, axes = plt.subplots()
        >>> plot_diagram(axes, [np.array([[0.0, 1.0]]), np.array([[1.0, 1.4]])]).get_xlabel()
        'birth'
        >>> plt.close(figure)
    """
    arrays = _arrays(diagrams)
    top = 1.06 * max((d.max() for d in arrays if len(d)), default=1.0)
    axes.plot([0, top], [0, top], color=MUTED, linewidth=0.8, zorder=1)
    for dim, points in enumerate(arrays):
        colour = HOMOLOGY[dim]
        face = colour if filled else "none"
        axes.scatter(
            points[:, 0], points[:, 1], s=size, marker=marker, facecolors=face, edgecolors=colour, linewidths=0.9,
            alpha=0.85 if filled else 1.0, zorder=2 + (not filled), label=_label(dim), clip_on=False,
        )  # fmt: skip
    axes.set(xlabel="birth", ylabel="death", xlim=(-0.02 * top, top), ylim=(-0.02 * top, top), aspect="equal")
    return axes


def plot_barcode(axes: Axes, diagrams: Diagrams, *, essential: int = 1, most: int = 60) -> Axes:
    """Draw one bar per class from birth to death, degree by degree.

    Args:
        axes: the axes to draw on.
        diagrams: (k, 2) pairs per degree.
        essential: number of components that never die; their bars end in an arrow.
        most: only this many of the most persistent bars of each degree are drawn.
    """
    arrays = _arrays(diagrams)
    top = 1.08 * max((d[:, 1].max() for d in arrays if len(d)), default=1.0)
    height = 0.0
    for dim, bars in enumerate(arrays):
        kept = np.argsort(bars[:, 0] - bars[:, 1], kind="stable")[:most]
        bars = bars[kept][np.lexsort((bars[kept, 1], bars[kept, 0]))]
        first = height
        lines = [[(b, first + k), (d, first + k)] for k, (b, d) in enumerate(bars)]
        axes.add_collection(LineCollection(lines, colors=HOMOLOGY[dim], linewidths=1.6, capstyle="round"))
        height = first + len(bars)
        for _ in range(essential if dim == 0 else 0):
            axes.annotate(
                "",
                (top, height),
                (0, height),
                arrowprops={"arrowstyle": "-|>", "color": HOMOLOGY[dim], "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0},
            )
            height += 1
        axes.text(
            -0.015 * top,
            (first + height - 1) / 2,
            _label(dim),
            ha="right",
            va="center",
            color=HOMOLOGY[dim],
            fontsize=13,
        )
        height += 2.5
    axes.set(xlim=(0, top), ylim=(-2, height), yticks=[], xlabel=r"filtration scale $\epsilon$")
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", visible=False)
    return axes


def rips_complex(points: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Edges (E, 2) and triangles (T, 3) of the Vietoris-Rips complex at one scale.

    Examples:
        >>> [len(s) for s in rips_complex(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), 1.5)]
        [3, 1]
    """
    near = np.linalg.norm(points[:, None] - points[None], axis=2) <= scale
    edges = np.argwhere(np.triu(near, 1))
    triangles = [(i, j, k) for i, j in edges.tolist() for k in range(j + 1, len(points)) if near[i, k] and near[j, k]]
    return edges, np.array(triangles, dtype=int).reshape(-1, 3)


def filtration_figure(points: np.ndarray, persistence: Persistence, scales: Sequence[float]) -> Figure:
    """Figure 4: the complex at growing scales, above the barcode; dashed lines mark the scales shown.

    Args:
        points: (n, 3), near the unit ball.
        persistence: diagrams of the points.
        scales: at which the complex is drawn.
    """
    use_style()
    figure = plt.figure(figsize=(2.6 * len(scales), 6.2))
    grid = figure.add_gridspec(2, len(scales), height_ratios=(1, 1.25))
    lowest, highest = points[:, 2].min(), points[:, 2].max()
    for k, scale in enumerate(scales):
        axes: Any = figure.add_subplot(grid[0, k], projection="3d")
        edges, triangles = rips_complex(points, scale)
        if len(triangles):
            faces = Poly3DCollection(points[triangles], facecolors=HOMOLOGY[2], alpha=min(0.18, 60 / len(triangles)))
            axes.add_collection3d(faces)
        if len(edges):
            axes.add_collection3d(Line3DCollection(points[edges], colors=TEACHER, linewidths=0.5, alpha=0.45))
        shade = 0.35 + 0.65 * (points[:, 2] - lowest) / (highest - lowest or 1)
        axes.scatter(*points.T, s=9, c=shade, cmap="Blues", vmin=0, vmax=1, edgecolors=TEACHER, linewidths=0.4)
        axes.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), zlim=(-0.975, 0.975))
        axes.set_box_aspect((4, 4, 3), zoom=1.3)
        axes.view_init(elev=42, azim=-60)
        axes.set_axis_off()
        for many in axes.collections[:-1]:  # thousands of faces and lines: rasterized, also in the SVG
            many.set_rasterized(True)
        axes.set_title(rf"$\epsilon = {scale:g}$")
    axes = figure.add_subplot(grid[1, :])
    plot_barcode(axes, persistence.diagrams, essential=len(persistence.essential[0]), most=45)
    for scale in scales:
        axes.axvline(scale, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
        where = axes.get_xaxis_transform()
        axes.text(scale, 1.01, rf"$\epsilon = {scale:g}$", ha="center", va="bottom", fontsize=9.5, transform=where)
    plt.close(figure)
    return figure


def agreement_figure(
    diagrams: dict[str, dict[str, Persistence]], rows: Sequence[dict[str, Any]], engine: str = "reduced"
) -> Figure:
    """Figure 8: diagrams of ``engine``, which the loss uses (rings), on those of giotto-ph (dots), one panel per shape.

    Each panel states the largest bottleneck distance to giotto-ph among the compared engines and degrees.

    Args:
        diagrams: by shape and engine.
        rows: bottleneck distances, with ``shape`` and ``bottleneck``.
        engine: the one that is drawn as rings.
    """
    use_style()
    figure, panels = plt.subplots(1, len(diagrams), figsize=(2.6 * len(diagrams), 3.2), squeeze=False)
    for panel, (shape, engines) in zip(panels[0], diagrams.items(), strict=True):
        plot_diagram(panel, engines["giotto-ph"].diagrams, size=11)
        plot_diagram(panel, engines[engine].diagrams, size=52, filled=False)
        worst = max(row["bottleneck"] for row in rows if row["shape"] == shape)
        panel.set_title(f"{shape}, {len(engines[engine].diagrams[0]) + len(engines[engine].essential[0])} points")
        for axis in (panel.xaxis, panel.yaxis):  # equal limits and an equal number of ticks: equal ticks
            axis.set_major_locator(MaxNLocator(4))
        stated = f"{worst:.1e}" if worst else "0"
        panel.text(0.97, 0.05, f"$d_B$ = {stated}", transform=panel.transAxes, ha="right", fontsize=11)
    handles = [plt.Line2D([], [], linestyle="", marker="o", color=HOMOLOGY[d], label=_label(d)) for d in (0, 1)]
    for name, style in (
        ("giotto-ph (Ripser)", {"markersize": 3.5}),
        (f"{engine}, the engine of the loss", {"markersize": 8, "fillstyle": "none"}),
    ):
        handles.append(plt.Line2D([], [], linestyle="", marker="o", color=MUTED, label=name, **style))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=11)
    plt.close(figure)
    return figure


def dampening_figure(gradients: dict[str, list[float]], lemma: Sequence[dict[str, float]]) -> Figure:
    """Figure 7: gradient per diagram point with and without the log weight, and the decay that Lemma 1 bounds."""
    use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.8, 3.3))  # a phone has room for one
    persistence, weighted = np.array(gradients["persistence"]), np.array(gradients["weighted"])
    signal, zero = persistence > 0.5 * persistence.max(), weighted == 0
    height = np.where(zero, 0.6 * weighted.min(where=~zero, initial=1.0), weighted)  # a logarithmic axis has no zero
    left.axhline(1, color=PLAIN, linewidth=1.2, label="equal weights", zorder=1)
    left.vlines(persistence, 1, height, color=PLAIN, linewidth=0.6, alpha=0.6, zorder=1)
    noise, signal = ~(signal | zero), signal & ~zero
    hollow = MarkerStyle("v", fillstyle="none")
    kinds = (noise, STUDENT, "o", "noise"), (signal, TEACHER, "D", "signal"), (zero, STUDENT, hollow, "exactly 0")
    for chosen, colour, marker, name in (kind for kind in kinds if kind[0].any()):
        left.scatter(persistence[chosen], height[chosen], 30, colour, marker, zorder=2, label=f"log weight, {name}")
    left.set(xscale="log", yscale="log", xlabel="persistence of teacher's point")
    left.set_ylabel("gradient (mean over points = 1)")
    delta = [row["delta"] for row in lemma]
    right.plot(delta, [row["bound"] for row in lemma], color=PLAIN, linewidth=5, alpha=0.6, label="bound of Eq. 15")
    for field, marker, colour, name in (
        ("contribution", "o-", HOMOLOGY[0], "nearest match only (Eq. 11)"),
        ("with_diagonal", "s-", HOMOLOGY[1], "with the diagonal (Eq. 2)"),
    ):
        right.plot(delta, [row[field] for row in lemma], marker, color=colour, label=name)
    right.set(xscale="log", yscale="log", xlabel=r"persistence $\delta$ of a noise point")
    right.set_ylabel("contribution to the loss")
    left.set_title("(a) share of the gradient", loc="left")
    right.set_title(r"(b) a noise point fades as $\delta \to 0$", loc="left")
    for panel in (left, right):
        panel.tick_params(labelsize=11)  # their exponents are smaller
        panel.legend(fontsize=9)
    plt.close(figure)
    return figure


def proposition_figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """Proposition 1: measured bottleneck distances over the bound 2 epsilon, against the points kept."""
    use_style()
    figure, panels = plt.subplots(1, 2, figsize=(8.0, 3.2), sharey=True)
    for dim, panel in enumerate(panels):
        for shape, marker in zip(dict.fromkeys(row["shape"] for row in rows), "os^D", strict=False):
            own = [row for row in rows if row["shape"] == shape]
            ratio = [row["bottleneck"][dim] / row["bound"] for row in own]
            panel.plot([row["kept"] for row in own], ratio, marker=marker, color=HOMOLOGY[dim], alpha=0.8, label=shape)
        panel.axhline(1, color=MUTED, linestyle="--", linewidth=1)
        kept = sorted({row["kept"] for row in rows})
        panel.set(xscale="log", xlabel="points kept, $M$", ylim=(0, 1.08))
        panel.set_xticks(kept, labels=map(str, kept), minor=False)
        panel.minorticks_off()
        panel.set_title(_label(dim), loc="left")
    panels[0].set_ylabel(r"bottleneck distance / $2\epsilon$")
    panels[0].legend(fontsize=9, loc="upper right", bbox_to_anchor=(1.0, 0.93), ncols=2)
    plt.close(figure)
    return figure


def sampling_figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """Figure 5: time of farthest point sampling and of random sampling against the size of the cloud."""
    use_style()
    figure, axes = plt.subplots(figsize=(4.8, 3.4))
    points = [row["points"] for row in rows]
    for field, marker, colour, name in (
        ("farthest_s", "o-", HOMOLOGY[0], "topology-preserving (farthest point)"),
        ("random_s", "s-", HOMOLOGY[1], "random"),
    ):
        axes.plot(points, [1e3 * row[field] for row in rows], marker, color=colour, label=name)
    axes.set(xscale="log", yscale="log", xlabel="points in the cloud, $N$")
    axes.set_ylabel(f"time (ms), $M$ = {rows[0]['kept']}")
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(fontsize=9)
    plt.close(figure)
    return figure


def homology_cost_figure(rows: Sequence[dict[str, Any]], engine: str = "giotto-ph") -> Figure:
    """Figure 6: time of ``engine`` up to degree 1 and up to degree 2 against the number of points."""
    use_style()
    figure, axes = plt.subplots(figsize=(4.8, 3.4))
    points = [row["points"] for row in rows]
    axes.plot(points, [1e3 * row["h1_s"] for row in rows], "o-", color=HOMOLOGY[1], label="up to degree 1")
    axes.plot(points, [1e3 * row["h2_s"] for row in rows], "s-", color=HOMOLOGY[2], label="up to degree 2")
    axes.set(yscale="log", xlabel="points, $N$", ylabel="time (ms)")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(10 ** np.floor(np.log10(axes.get_ylim()[0])), None)
    axes.legend(fontsize=9, title=f"engine {engine}", title_fontsize=9)
    plt.close(figure)
    return figure
