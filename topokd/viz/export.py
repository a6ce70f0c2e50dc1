"""Labelled clouds as files: coloured .ply, and a page that opens offline."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

from topokd.errors import DataError
from topokd.io import atomic_path, write_text
from topokd.viz.clouds import DARK, IGNORED_RGB, RGB, class_colors, interactive_cloud

RIGHT_RGB, WRONG_RGB = (76, 87, 102), (255, 82, 71)  # points that agree with the ground truth, and those that do not


def write_ply(path: str | Path, xyz: Float[ndarray, "n 3"], label: Int64[ndarray, " n"], palette: RGB) -> None:
    """Write a binary PLY with x, y, z, red, green, blue and ``label`` (int, -1 without a class).

    Coordinates are float32, or float64 if float32 would move them by more than a millimetre.

    Args:
        path: the file.
        xyz: (n, 3) metres.
        label: (n,) classes, -1 without one.
        palette: RGB 0..255 of each class.

    Raises:
        DataError: plyfile is not installed, or a label is not a class.
    """
    _check_labels(xyz, label, palette)
    try:
        from plyfile import PlyData, PlyElement
    except ImportError:
        raise DataError("writing .ply needs the package plyfile: pip install 'topokd[data]'") from None
    with np.errstate(invalid="ignore"):
        moved = np.abs(xyz - xyz.astype(np.float32))
    axis = "f8" if np.nanmax(moved, initial=0.0, where=np.isfinite(moved)) > 1e-3 else "f4"
    fields = [(name, axis) for name in "xyz"] + [(name, "u1") for name in ("red", "green", "blue")] + [("label", "i4")]
    vertex = np.empty(len(xyz), fields)
    colors = np.round(255 * class_colors(label, palette)).astype(np.uint8)
    for column, name in enumerate("xyz"):
        vertex[name] = xyz[:, column]
    for column, name in enumerate(("red", "green", "blue")):
        vertex[name] = colors[:, column]
    vertex["label"] = label
    with atomic_path(path) as temporary:
        PlyData([PlyElement.describe(vertex, "vertex")], byte_order="<").write(str(temporary))


def write_view(
    path: str | Path,
    xyz: Float[ndarray, "n 3"],
    label: Int64[ndarray, " n"],
    names: Sequence[str],
    palette: RGB,
    title: str,
    max_points: int = 60_000,
) -> None:
    """Write a self-contained page with an interactive view of the cloud; it opens offline.

    Args:
        path: the file.
        xyz: (n, 3) metres.
        label: (n,) classes, -1 without one.
        names: names of the classes.
        palette: RGB 0..255 of each class.
        title: title of the page; the number of points shown, and of all points, is added.
        max_points: larger clouds are thinned evenly.

    Raises:
        DataError: a label is not a class.
    """
    _check_labels(xyz, label, palette)
    shown = f"{len(xyz):,} points" if len(xyz) <= max_points else f"{max_points:,} of {len(xyz):,} points"
    heading = f"{html.escape(title)}, {shown}"
    figure = interactive_cloud(xyz, {heading: label}, names, palette, max_points=max_points)
    figure.update_layout(height=None, paper_bgcolor=DARK, font_color="#d5dbe3")
    view = figure.to_html(full_html=False, include_plotlyjs=True, div_id="cloud", default_height="100vh")
    write_text(path, _page(title, view))


def write_views(
    path: str | Path,
    xyz: Float[ndarray, "n 3"],
    views: Mapping[str, Int64[ndarray, " n"]],
    names: Sequence[str],
    palette: RGB,
    title: str,
    max_points: int = 60_000,
) -> None:
    """Write a self-contained page that shows one cloud in the whole window, with a button for each view and its errors.

    Args:
        path: the file.
        xyz: (n, 3) metres.
        views: by title, (n,) classes, -1 without one. The first is the ground truth; each other one has a second
            button for the points that differ from it.
        names: names of the classes.
        palette: RGB 0..255 of each class.
        title: title of the page.
        max_points: larger clouds are thinned evenly.
    """
    import plotly.graph_objects as go

    kept = np.linspace(0, len(xyz) - 1, min(len(xyz), max_points)).astype(np.int64)
    points = np.round(xyz[kept].astype(np.float64), 2)
    labels = {
        name: np.where((values < 0) | (values >= len(names)), len(names), values)[kept]
        for name, values in views.items()
    }
    first, truth = next(iter(labels.items()))
    shades = labels | {
        f"{name}: errors": np.where(truth == len(names), len(names), len(names) + 1 + (values != truth))
        for name, values in labels.items()
        if name != first
    }
    colors = [f"rgb({r}, {g}, {b})" for r, g, b in (*palette, IGNORED_RGB, RIGHT_RGB, WRONG_RGB)]
    steps = [(k + side) / len(colors) for k in range(len(colors)) for side in (0, 1)]
    scale = [[step, colors[k // 2]] for k, step in enumerate(steps)]
    marker = {"size": 1.8, "color": truth.tolist(), "colorscale": scale, "cmin": -0.5, "cmax": len(colors) - 0.5}
    hover = "x %{x:.1f} m, y %{y:.1f} m, z %{z:.1f} m<extra></extra>"
    x, y, z = points.T.tolist()
    figure = go.Figure(
        go.Scatter3d(x=x, y=y, z=z, mode="markers", marker=marker, hovertemplate=hover, showlegend=False)
    )
    present = sorted({int(k) for values in labels.values() for k in np.unique(values)})
    for k, name in [(k, (*names, "unlabelled")[k]) for k in present] + [(len(names) + 2, "error")]:
        figure.add_scatter3d(
            x=[None], y=[None], z=[None], mode="markers", marker={"color": colors[k], "size": 6}, name=name
        )
    buttons: list[dict[str, Any]] = [
        {"label": name, "method": "restyle", "args": [{"marker.color": [values.tolist()]}, [0]]}
        for name, values in shades.items()
    ]
    hidden = {"visible": False}
    figure.update_layout(
        updatemenus=[
            {"buttons": buttons, "x": 0.01, "y": 0.99, "xanchor": "left", "yanchor": "top", "bgcolor": "#d5dbe3"}
        ],
        scene={
            "xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data", "bgcolor": DARK,
            "camera": {"eye": {"x": -0.45, "y": 0.0, "z": 0.3}, "center": {"x": 0.1, "y": 0, "z": 0}},
        },
        margin={"l": 0, "r": 0, "t": 0, "b": 0}, paper_bgcolor=DARK, font_color="#d5dbe3",
        updatemenudefaults={"font": {"color": "#1f2933"}},
        legend={"itemsizing": "constant", "x": 0.99, "xanchor": "right", "bgcolor": "rgba(17,21,28,0.6)"},
        uirevision="fixed",
    )  # fmt: skip
    view = figure.to_html(
        full_html=False, include_plotlyjs=True, div_id="cloud", default_height="100vh", config={"responsive": True}
    )
    write_text(path, _page(title, view))


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>body {{ margin: 0; background: {DARK} }}</style></head>\n<body>{body}</body>\n</html>\n"
    )


def _check_labels(xyz: Float[ndarray, "n 3"], label: Int64[ndarray, " n"], palette: RGB) -> None:
    """Raise `DataError` unless there is a class of the palette, or -1, for every point."""
    if label.shape != (len(xyz),) or label.dtype.kind not in "iu":
        raise DataError(f"label has shape {label.shape} of {label.dtype}, for {len(xyz)} points: give one class each")
    low, high = int(label.min(initial=-1)), int(label.max(initial=-1))
    if low < -1 or high >= len(palette):
        raise DataError(
            f"label runs from {low} to {high}, but there are {len(palette)} classes: give 0 to {len(palette) - 1}, or "
            "-1 for none"
        )
