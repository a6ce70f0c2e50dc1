"""The narrow variant of a figure, which a phone shows."""

import io
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from tests.paper.fake_results import write_results
from topokd.paper import figures
from topokd.paper.lettering import smallest_lettering
from topokd.paper.narrow import WIDTH, narrow_drawing
from topokd.paper.results import Results

PHONE = 348  # CSS pixels of a figure on a phone of 390


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results.read(write_results(tmp_path / "results" / "default"))


def ablation(results: Results) -> Figure:
    figure = figures.ablation_figure(results)
    assert figure is not None
    return figure


def test_letters_are_legible_on_a_phone(results: Results) -> None:
    drawing = narrow_drawing(ablation(results))
    share = smallest_lettering(io.BytesIO(drawing))
    assert share is not None and share * PHONE >= 9
    assert drawing == narrow_drawing(ablation(results))  # the report's bytes depend on it
    plt.close("all")


def test_panels_are_below_one_another_and_nothing_is_cut_or_overlaps(results: Results) -> None:
    figure = ablation(results)
    narrow_drawing(figure)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    first, second = figure.axes
    assert first.get_position().y0 > second.get_position().y1
    legend = second.get_legend()
    assert legend is not None
    label, below = second.xaxis.label.get_window_extent(renderer), legend.get_window_extent(renderer)
    assert below.y1 <= label.y0
    width = WIDTH * figure.dpi
    texts = [text for axes in figure.axes for text in (axes.title, axes.xaxis.label, *axes.get_yticklabels())]
    for box in [below, *(text.get_window_extent(renderer) for text in texts)]:
        assert box.x0 >= 0 and box.x1 <= width and box.y0 >= 0, box
    names = sorted((text.get_window_extent(renderer) for text in first.get_yticklabels()), key=lambda box: box.y0)
    assert all(lower.y1 <= upper.y0 for lower, upper in pairwise(names))
    plt.close("all")
