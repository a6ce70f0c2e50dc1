"""Figure 3."""

import matplotlib
import numpy as np
import pytest

from topokd.data import IGNORE
from topokd.viz.segmentation import segmentation_figure

matplotlib.use("Agg")


def test_errors_are_counted_over_labelled_points():
    rng = np.random.default_rng(0)
    xyz = rng.uniform(-10, 10, (100, 3)).astype(np.float32)
    truth = np.array([0] * 40 + [1] * 40 + [IGNORE] * 20)
    wrong = truth.copy()
    wrong[:20] = 1  # a quarter of the labelled points
    wrong[80:] = 0  # unlabelled: does not count
    palette = [(255, 0, 0), (0, 0, 255), (0, 255, 0)]
    figure = segmentation_figure(xyz, truth, {"Teacher": wrong}, ("road", "car", "person"), palette)
    titles = [axes.get_title() for axes in figure.axes]
    assert "Ground truth" in titles and "Teacher" in titles and "25.0 % of the points wrong (red)" in titles
    legend = next(axes.get_legend() for axes in figure.axes if axes.get_legend())
    assert [text.get_text() for text in legend.get_texts()] == ["road", "car"]  # no point is a person
    assert sum(len(c.get_offsets()) for c in figure.axes[0].collections) == 80
    matplotlib.pyplot.close(figure)


def test_without_predictions_the_truth_is_shown():
    xyz = np.ones((3, 3), np.float32)
    figure = segmentation_figure(xyz, np.array([0, 0, 0]), {}, ("road",), [(9, 9, 9)])
    assert len(figure.axes) == 3
    matplotlib.pyplot.close(figure)


@pytest.mark.parametrize("count", [12, 19])
def test_legend_of_many_classes_fits(count):
    names = [f"class {i}" for i in range(count)]
    truth = np.arange(count)
    figure = segmentation_figure(
        np.ones((count, 3), np.float32), truth, {"a": truth}, names, [(i, i, i) for i in range(count)]
    )
    legend = next(axes.get_legend() for axes in figure.axes if axes.get_legend())
    assert legend._ncols == 2
    matplotlib.pyplot.close(figure)
