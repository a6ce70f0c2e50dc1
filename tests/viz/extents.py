"""Where the texts of a figure are."""

from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text


def cut_off(figure: Figure) -> list[str]:
    """The texts that stand out of the figure by more than a pixel, which a saved file would not show whole.

    Args:
        figure: it is drawn.
    """
    figure.canvas.draw()
    whole, found = figure.bbox, []
    legends = [text for legend in figure.legends for text in (*legend.get_texts(), legend.get_title())]
    for text in [*figure.texts, *legends, *(text for axes in figure.axes for text in _texts(axes))]:
        box = text.get_window_extent()
        inside = box.x0 >= whole.x0 - 1 and box.x1 <= whole.x1 + 1 and box.y0 >= whole.y0 - 1 and box.y1 <= whole.y1 + 1
        if text.get_text() and not inside:
            found.append(text.get_text())
    return found


def _texts(axes: Axes) -> Iterator[Text]:
    """Those of a panel; no names of ticks beyond its limits, which are not drawn."""
    yield from (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts)
    if (legend := axes.get_legend()) is not None:
        yield from legend.get_texts()
    for axis, place in ((axes.xaxis, 0), (axes.yaxis, 1)):
        low, high = sorted(axis.get_view_interval())
        yield from (label for label in axis.get_ticklabels() if low <= label.get_position()[place] <= high)
