"""Common style of all figures, and byte-stable files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
PHONE = 4.8  # inches: letters of 9 points then have 9 CSS pixels on 346, which a phone of 390 has


def line_style(place: int) -> dict[str, str]:
    """Marker and line style of network number ``place`` in a figure; 28 combinations.

    Examples:
        >>> line_style(0), line_style(8)
        ({'marker': 'o', 'linestyle': '-'}, {'marker': 's', 'linestyle': '--'})
    """
    return {"marker": MARKERS[place % len(MARKERS)], "linestyle": LINES[place // len(MARKERS) % len(LINES)]}


def legend_below(figure: Figure, labels: Sequence[str], title: str | None = None) -> None:
    """A legend below the panels, in as many columns as fit; a figure with many entries grows.

    Args:
        figure: its panels' labels are the entries.
        labels: of the entries, to find their width.
        title: above them.
    """
    width, height = figure.get_size_inches()
    inches = 0.5 + 0.068 * max(map(len, labels), default=0)  # of an entry in letters of 9 points
    columns = max(1, min(len(labels), 3, int(width // inches)))
    figure.set_size_inches(width, height + 0.18 * max(0, -(-len(labels) // columns) - 2))
    entries = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": columns, "title": title}
    figure.legend(list(entries.values()), list(entries), fontsize=9, title_fontsize=9, **place)


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
