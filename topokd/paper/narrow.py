"""Narrow variants of figures, for a phone: the panels below one another, their words broken into lines."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 4.8  # inches: letters of 9 points then have 9 CSS pixels on 346, which a phone of 390 has
GROWTH = 0.82  # height of a panel, against the one in the wide figure
NAMES, WORDS = 20, 36  # letters in a line of the names beside an axis, and of titles


def narrow_drawing(figure: Figure) -> bytes:
    """SVG of a figure with its panels below one another, in their order.

    The letters keep their size. Legends have to belong to a panel and to be at most as wide as it. Changes the figure.

    Args:
        figure: drawn with a constrained layout, its panels in one row of a grid.

    Returns:
        The drawing; equal figures give equal bytes if ``svg.hashsalt`` is set, as in `topokd.viz.style`.

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> figure, panels = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
        >>> drawing = narrow_drawing(figure)
        >>> panels[0].get_position().y0 > panels[1].get_position().y1  # the second is below the first
        True
        >>> plt.close(figure)
    """
    panels = figure.axes
    height = figure.get_figheight()
    grid = figure.add_gridspec(len(panels), 1)
    for place, panel in enumerate(panels):
        panel.set_subplotspec(grid[place])
        for text in (panel.title, panel.xaxis.label):
            text.set_text(textwrap.fill(text.get_text(), WORDS))
        names = [label.get_text() for label in panel.get_yticklabels()]
        if any(len(name) > NAMES for name in names):
            panel.set_yticks(panel.get_yticks(), [textwrap.fill(name, NAMES) for name in names])
    figure.set_size_inches(WIDTH, GROWTH * height * len(panels))
    drawing = io.BytesIO()
    figure.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
    return drawing.getvalue()
