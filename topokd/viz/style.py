"""Common style of all figures, and byte-stable files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

from topokd.io import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The palette. Colours of networks come from params.yaml (topokd.viz.rows), these are for everything else.
TEACHER, STUDENT, PLAIN, ACCENT, MUTED = "#1b4965", "#d1495b", "#8d99ae", "#edae49", "#6c757d"
GREEN, PURPLE, OCHRE = "#5b8e7d", "#8e6c8a", "#c08552"
HOMOLOGY = ("#1b4965", "#d1495b", "#edae49")  # H0, H1, H2
MARKERS = "osD^vPX"
LINES = ("-", "--", ":", "-.")


def line_style(place: int) -> dict[str, str]:
    """Marker and line style of network number ``place`` in a figure; 28 combinations.

    Examples:
        >>> line_style(0), line_style(8)
        ({'marker': 'o', 'linestyle': '-'}, {'marker': 's', 'linestyle': '--'})
    """
    return {"marker": MARKERS[place % len(MARKERS)], "linestyle": LINES[place // len(MARKERS) % len(LINES)]}


def use_style() -> None:
    """Set matplotlib's defaults for the paper's figures."""
    matplotlib.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.dpi": 160,
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "legend.frameon": False,
            "svg.hashsalt": "topokd",
            "figure.constrained_layout.use": True,
        }
    )


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write ``path`` (no suffix) as PNG and SVG, atomically and without dates, so equal figures give equal bytes."""
    for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None, "Creator": None})):
        with atomic_path(Path(path).with_suffix(suffix)) as temporary:
            figure.savefig(temporary, format=suffix[1:], metadata=metadata)
