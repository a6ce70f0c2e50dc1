"""Labelled clouds as files: coloured .ply, and a page that opens offline."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

from topokd.errors import DataError
from topokd.io import atomic_path, write_text
from topokd.viz.clouds import DARK, RGB, class_colors, interactive_cloud


def write_ply(path: str | Path, xyz: Float[ndarray, "n 3"], label: Int64[ndarray, " n"], palette: RGB) -> None:
    """Write a binary PLY with x, y, z, red, green, blue and ``label`` (int, -1 without a class).

    Coordinates are float32, or float64 if float32 would move them by more than a millimetre.

    Args:
        path: the file.
        xyz: (n, 3) metres.
        label: (n,) classes, -1 without one.
        palette: RGB 0..255 of each class.

    Raises:
        DataError: plyfile is not installed.
    """
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
        names: of the classes.
        palette: RGB 0..255 of each class.
        title: of the page; the number of points shown, and of all points, is added.
        max_points: larger clouds are thinned evenly.
    """
    shown = f"{len(xyz):,} points" if len(xyz) <= max_points else f"{max_points:,} of {len(xyz):,} points"
    heading = f"{html.escape(title)}, {shown}"
    figure = interactive_cloud(xyz, {heading: label}, names, palette, max_points=max_points)
    figure.update_layout(height=None, paper_bgcolor=DARK, font_color="#d5dbe3")
    view = figure.to_html(full_html=False, include_plotlyjs=True, div_id="cloud", default_height="100vh")
    write_text(
        path,
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>body {{ margin: 0; background: {DARK} }}</style></head>\n<body>{view}</body>\n</html>\n",
    )
