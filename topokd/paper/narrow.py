"""Narrow variants of figures, for a phone: the panels below one another, their words broken into lines."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 4.8  # inches: letters of 9 points then have 9 CSS pixels on 346, which a phone of 390 has
GROWTH = 0.9  # height of a panel, against the one in the wide figure
NAMES, TITLE, LABEL = 24, 36, 44  # letters in a line of the names beside an axis, of its title and of its label
TICKS, LINE = 22, 14  # points: from an axis to the label below it, and per line of that label
MIDDLE = 0.3  # of the width of a panel: where a legend below it is centred, as names stand to the left of the panel


def narrow_drawing(figure: Figure) -> bytes:
    """SVG of a figure with its panels below one another, in their order.

    The letters keep their size, a legend below a panel stays below its label. Legends have to belong to a panel and to
    be at most as wide as the drawing. Changes the figure.

    Args:
        figure: drawn with a constrained layout, its panels in one row of a grid.

    Returns:
        The drawing; equal figures give equal bytes if ``svg.hashsalt`` is set, as in `topokd.viz.style`.

    Examples:
        >>> import matplotlib.pyplot as plt
        >>> figure, panels = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
        >>> drawing = narrow_drawing(figure)
        >>> bool(panels[0].get_position().y0 > panels[1].get_position().y1)  # the second is below the first
        True
        >>> plt.close(figure)
    """
    panels = figure.axes
    height = figure.get_figheight()
    grid = figure.add_gridspec(len(panels), 1)
    for place, panel in enumerate(panels):
        panel.set_subplotspec(grid[place])
        panel.set_title(textwrap.fill(panel.get_title(), TITLE), fontsize=panel.title.get_fontsize())
        panel.set_xlabel(textwrap.fill(panel.get_xlabel(), LABEL))
        names = [label.get_text() for label in panel.get_yticklabels()]
        if any(len(name) > NAMES for name in names):
            panel.set_yticks(panel.get_yticks(), [textwrap.fill(name, NAMES) for name in names])
        _keep_below(panel, figure)
    figure.set_size_inches(WIDTH, GROWTH * height * len(panels))
    drawing = io.BytesIO()
    figure.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
    return drawing.getvalue()


def _keep_below(panel: Axes, figure: Figure) -> None:
    """Put a legend that is below a panel that far below it in points as the panel's label needs."""
    from matplotlib.transforms import ScaledTranslation

    legend = panel.get_legend()
    if legend is None:
        return
    _, y = panel.transAxes.inverted().transform(legend.get_bbox_to_anchor().p0)
    if y < 0:
        depth = TICKS + LINE * (1 + panel.get_xlabel().count("\n"))
        down = ScaledTranslation(0, -depth / 72, figure.dpi_scale_trans)
        legend.set_bbox_to_anchor((MIDDLE, 0), panel.transAxes + down)
