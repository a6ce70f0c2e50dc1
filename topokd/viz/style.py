"""Common style of all figures, and byte-stable files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.transforms import ScaledTranslation

from topokd.io import atomic_path

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

# The palette. Colours of networks come from params.yaml (topokd.viz.rows), these are for everything else.
TEACHER, STUDENT, PLAIN, ACCENT, MUTED = "#1b4965", "#d1495b", "#8d99ae", "#edae49", "#6c757d"
GREEN, PURPLE, OCHRE = "#5b8e7d", "#8e6c8a", "#c08552"
HOMOLOGY = ("#1b4965", "#d1495b", "#edae49")  # H0, H1, H2
MARKERS = "osD^vPX"
LINES = ("-", "--", ":", "-.")
PHONE = 4.8  # inches: letters of 9 points then have 9 CSS pixels on 346, which a phone of 390 has
BESIDE, SPREAD = 3.0, 10.0  # points: between markers of one place that stand side by side, and at most between all


def line_style(place: int) -> dict[str, str]:
    """Marker and line style of network number ``place`` in a figure; 28 combinations.

    Examples:
        >>> line_style(0), line_style(8)
        ({'marker': 'o', 'linestyle': '-'}, {'marker': 's', 'linestyle': '--'})
    """
    return {"marker": MARKERS[place % len(MARKERS)], "linestyle": LINES[place // len(MARKERS) % len(LINES)]}


def dodge(artist: Artist, place: int, count: int) -> None:
    """Move series number ``place`` of ``count`` a little to the side, so that equal values are all seen.

    Args:
        artist: a drawn line or band, which has set the limits of its panel.
        place: of the series, from 0.
        count: of all series; the last is at most `SPREAD` points to the right of the first.

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> figure, axes = plt.subplots()
        >>> lines = [axes.plot([0, 1], [2, 3])[0] for _ in range(2)]
        >>> for place, line in enumerate(lines):
        ...     dodge(line, place, 2)
        >>> left, right = (line.get_transform().transform((0, 2))[0] for line in lines)
        >>> print(round((right - left) / figure.dpi * 72, 1))  # BESIDE
        3.0
        >>> plt.close(figure)
    """
    step = min(BESIDE, SPREAD / max(1, count - 1))
    figure: Any = artist.get_figure()
    axes: Any = artist.axes
    right = step * (place - (count - 1) / 2) / 72
    artist.set_transform(axes.transData + ScaledTranslation(right, 0, figure.dpi_scale_trans))


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
