"""Views of labelled clouds (from above, in perspective, interactive), and statistics of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int64

from topokd.viz.style import ACCENT, MUTED, TEACHER, use_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DARK = "#11151c"
IGNORED_RGB = (120, 120, 120)
_MANY_CLASSES = 24
_ROW = 0.19  # inches that the name of a class needs

RGB = Sequence[tuple[int, int, int]]


def class_colors(label: Int64[np.ndarray, " n"], palette: RGB) -> Float[np.ndarray, "n 3"]:
    """RGB 0..1 per point; grey where the label is not a class (ignored).

    Examples:
        >>> class_colors(np.array([0, -1]), [(255, 0, 0)]).round(2).tolist()
        [[1.0, 0.0, 0.0], [0.47, 0.47, 0.47]]
    """
    table = np.array([*palette, IGNORED_RGB], np.float64) / 255
    return table[np.where((label < 0) | (label >= len(palette)), len(palette), label)]


def project(
    xyz: Float[np.ndarray, "n 3"],
    eye: tuple[float, float, float] = (-16.0, 0.0, 9.0),
    target: tuple[float, float, float] = (12.0, 0.0, -2.0),
    field_of_view: float = 75.0,
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Pinhole projection.

    Args:
        xyz: (n, 3) points in metres.
        eye: position of the camera.
        target: the point in the middle of the image.
        field_of_view: horizontal, in degrees.

    Returns:
        (n, 2) coordinates (right, up) on the image plane, +-1 at the left and right border, and (n,) depths in metres.

    Examples:
        >>> image, depth = project(np.array([[12.0, 0.0, -2.0]]))
        >>> bool(np.allclose(image, 0)), round(float(depth[0]), 1)
        (True, 30.1)
    """
    forward = np.array(target, np.float64) - np.array(eye)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    local = (xyz.astype(np.float64) - np.array(eye)) @ np.stack((right, np.cross(right, forward), forward), axis=1)
    depth = local[:, 2]
    return local[:, :2] / (np.maximum(depth, 1e-6) * np.tan(np.deg2rad(field_of_view) / 2))[:, None], depth


def plot_cloud(
    ax: Axes,
    xyz: Float[np.ndarray, "n 3"],
    label: Int64[np.ndarray, " n"] | Float[np.ndarray, "n 3"],
    palette: RGB = (),
    *,
    view: str = "top",
    reach: float = 40.0,
    size: float = 1.0,
    title: str = "",
) -> None:
    """Draw a cloud on a dark background.

    Higher points, or points nearer to the eye, are drawn on top. Points are rasterized, also in SVG files.

    Args:
        ax: the axes to draw on.
        xyz: (n, 3) points in metres.
        label: (n,) classes, coloured by ``palette``, or (n, 3) colours as RGB 0..1.
        palette: RGB 0..255 of each class.
        view: "top" (from above) or "perspective" (`project`).
        reach: extent of the view from above in each direction, in metres.
        size: size of the points.
        title: title of the axes.
    """
    colors = class_colors(label, palette) if label.ndim == 1 else label
    if view == "top":
        image, order = xyz[:, :2], np.argsort(xyz[:, 2], kind="stable")
        order = order[(np.abs(image[order]) < reach).all(axis=1)]
        sizes: Any = 0.6 * size
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    else:
        image, depth = project(xyz)
        order = np.argsort(-depth, kind="stable")
        order = order[(depth[order] > 2) & (np.abs(image[order]) < 1.02).all(axis=1)]
        sizes = size * np.clip(30.0 / depth[order], 0.15, 5.0)
        ax.set(xlim=(-1, 1), ylim=(-0.62, 0.42), aspect="equal")
    ax.set_facecolor(DARK)
    ax.scatter(image[order, 0], image[order, 1], s=sizes, c=colors[order], linewidths=0, rasterized=True)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    if title:
        ax.set_title(title)


def class_legend(
    figure: Figure,
    present: Sequence[int],
    names: Sequence[str],
    palette: RGB,
    columns: int = 7,
    unlabelled: bool = False,
) -> None:
    """Add a legend of the classes ``present``, and of points without a class, below the axes of ``figure``.

    Args:
        figure: the figure that gets the legend.
        present: classes that occur.
        names: names of all classes.
        palette: RGB 0..255 of all classes.
        columns: number of columns of the legend.
        unlabelled: whether there are points without a class.
    """
    from matplotlib.lines import Line2D

    entries = [(names[c], palette[c]) for c in present] + ([("unlabelled", IGNORED_RGB)] if unlabelled else [])
    dots = [
        Line2D([], [], marker="o", linestyle="", markersize=6, color="#{:02x}{:02x}{:02x}".format(*rgb), label=name)
        for name, rgb in entries
    ]
    figure.legend(handles=dots, loc="outside lower center", ncols=columns, fontsize=10)


def interactive_cloud(
    xyz: Float[np.ndarray, "n 3"],
    labels: dict[str, Int64[np.ndarray, " n"]],
    names: Sequence[str],
    palette: RGB,
    *,
    max_points: int = 30_000,
    size: float = 1.6,
    height: int = 560,
) -> Any:
    """A plotly figure with one 3D cloud per entry of ``labels``, side by side.

    A click on a class in the legend hides or shows it in all clouds. Coordinates are rounded to centimetres to
    keep the page small.

    Args:
        xyz: (n, 3) points in metres.
        labels: by title, (n,) classes.
        names: names of the classes.
        palette: RGB 0..255 of each class.
        max_points: larger clouds are thinned evenly, to the same points in every cloud.
        size: size of the points.
        height: height in pixels.

    Examples:
        >>> figure = interactive_cloud(np.zeros((3, 3)), {"truth": np.array([0, 0, -1])}, ["car"], [(255, 0, 0)])
        >>> [trace.name for trace in figure.data]
        ['unlabelled', 'car']
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    kept = np.arange(len(xyz)) if len(xyz) <= max_points else np.linspace(0, len(xyz) - 1, max_points).astype(np.int64)
    points = np.round(xyz[kept].astype(np.float64), 2)
    figure = make_subplots(
        rows=1,
        cols=len(labels),
        specs=[[{"type": "scene"}] * len(labels)],
        subplot_titles=list(labels),
        horizontal_spacing=0.01,
    )
    shown = set()
    for column, label in enumerate(labels.values(), start=1):
        label = label[kept]
        for c in np.unique(np.maximum(label, -1)).tolist():
            chosen = np.maximum(label, -1) == c
            name = "unlabelled" if c < 0 else names[c]
            color = "rgb({}, {}, {})".format(*(IGNORED_RGB if c < 0 else palette[c]))
            cloud = go.Scatter3d(
                x=points[chosen, 0].tolist(),  # lists: readable by any plotly.js, and the same bytes in every run
                y=points[chosen, 1].tolist(),
                z=points[chosen, 2].tolist(),
                mode="markers",
                marker={"size": size, "color": color, "opacity": 1.0},
                name=name,
                legendgroup=name,
                showlegend=c not in shown,
                hovertemplate=f"{name}<br>x %{{x:.1f}} m, y %{{y:.1f}} m, z %{{z:.1f}} m<extra></extra>",
            )
            figure.add_trace(cloud, row=1, col=column)
            shown.add(c)
    scene = {
        "xaxis": {"visible": False},
        "yaxis": {"visible": False},
        "zaxis": {"visible": False},
        "aspectmode": "data",
        "bgcolor": DARK,
        "camera": {"eye": {"x": -0.45, "y": 0.0, "z": 0.3}, "center": {"x": 0.1, "y": 0, "z": 0}},
    }
    figure.update_scenes(scene)
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 0, "t": 30, "b": 0},
        legend={"itemsizing": "constant", "orientation": "h", "y": -0.02},
        uirevision="fixed",
    )
    return figure


def plot_statistics(statistics: dict[str, Any], other: dict[str, Any] | None, names: tuple[str, str]) -> Figure:
    """Class frequencies (logarithmic) and the range histogram of one or two results of ``datasets.statistics``.

    Of many classes only those that occur are shown.

    Args:
        statistics: a result of `topokd.datasets.statistics.statistics`.
        other: another, or None.
        names: labels of the two.
    """
    import matplotlib.pyplot as plt

    use_style()
    shown = [(statistics, names[0], TEACHER)] + ([(other, names[1], ACCENT)] if other else [])
    classes = list(statistics["class_frequency"])
    if len(classes) > _MANY_CLASSES:
        classes = [name for name in classes if any(one["class_frequency"].get(name, 0.0) > 0 for one, *_ in shown)]
    height = max(4.6, _ROW * len(classes) + 0.4)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.7, height))  # a phone has room for one
    shares = [np.array([100 * one["class_frequency"].get(c, 0.0) for c in classes]) for one, *_ in shown]
    nowhere = ~np.any([share > 0 for share in shares], axis=0)

    def none(y: float, color: str) -> None:
        left.text(0.01, y, "none", color=color, fontsize=9, va="center", transform=left.get_yaxis_transform())

    for row in np.flatnonzero(nowhere).tolist():  # one word for both, as two would overlap
        none(row, MUTED)
    for index, (one, name, color) in enumerate(shown):
        offset = (index - (len(shown) - 1) / 2) * 0.3
        share = shares[index]
        seen, y = share > 0, np.arange(len(classes)) + offset
        left.plot(share[seen], y[seen], "os"[index % 2], color=color, markersize=5.5, label=name)
        for row in np.flatnonzero(~seen & ~nowhere):
            none(y[row], color)
        edges = np.array(one["range_edges"])
        right.stairs(100 * np.array(one["range_histogram"]), edges, color=color, lw=1.8, label=name)
    smallest = min((share[share > 0].min() for share in shares if (share > 0).any()), default=1.0)
    left.set(xscale="log", xlim=(smallest / 3, 100), xlabel="share of labelled points (%)")
    left.set_yticks(np.arange(len(classes)), classes)
    left.xaxis.set_major_formatter("{x:g}")
    left.invert_yaxis()
    right.set(yscale="log", ylim=(0.02, 60), xlabel="distance to the sensor (m)", ylabel="share of points per bin (%)")
    right.yaxis.set_major_formatter("{x:g}")
    figure.legend(*right.get_legend_handles_labels(), loc="outside upper center", ncols=len(shown))
    return figure
