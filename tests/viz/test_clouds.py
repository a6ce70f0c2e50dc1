"""Interactive clouds and the statistics of data sets."""

from itertools import pairwise

import numpy as np
import pytest

from topokd.errors import DataError
from topokd.viz.clouds import interactive_cloud, plot_statistics
from topokd.viz.export import write_ply, write_view

PALETTE = [(250, 0, 0), (0, 250, 0)]


def test_a_large_cloud_is_thinned_to_the_same_points_in_every_panel() -> None:
    xyz = np.random.default_rng(0).normal(size=(1000, 3))
    truth = np.arange(1000) % 2
    figure = interactive_cloud(xyz, {"truth": truth, "student": 1 - truth}, ["road", "car"], PALETTE, max_points=100)
    points = [
        sorted(x for trace in figure.data if trace.scene == scene for x in trace.x) for scene in ("scene", "scene2")
    ]
    assert len(points[0]) == 100 and points[0] == points[1]
    assert [trace.showlegend for trace in figure.data] == [True, True, False, False]  # a class once
    assert set(np.round(points[0], 2)) == set(points[0])  # centimetres
    assert {trace.marker.color for trace in figure.data if trace.name == "car"} == {"rgb(0, 250, 0)"}


def test_statistics_show_classes_that_one_side_lacks() -> None:
    ours = {"class_frequency": {"road": 0.9, "boat": 0.0}, "range_edges": [0, 10, 20], "range_histogram": [0.75, 0.25]}
    theirs = {**ours, "class_frequency": {"road": 0.5, "boat": 0.5}}
    left, right = plot_statistics(ours, theirs, ("ours", "theirs")).axes
    assert [list(line.get_xdata()) for line in left.lines] == [[90.0], [50.0, 50.0]]
    assert [text.get_text() for text in left.texts] == ["none"]
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["road", "boat"]
    assert [patch.get_data().values.tolist() for patch in right.patches] == [[75.0, 25.0]] * 2


def test_a_class_that_nobody_has_gets_one_word() -> None:
    """Two of them, in the colours of both, overlapped."""
    ours = {
        "class_frequency": {"road": 1.0, "boat": 0.0, "car": 0.0, "bus": 0.0},
        "range_edges": [0, 10],
        "range_histogram": [1.0],
    }
    theirs = {**ours, "class_frequency": {"road": 0.5, "boat": 0.0, "car": 0.5, "bus": 0.0}}
    figure = plot_statistics(ours, theirs, ("train", "val"))
    figure.canvas.draw()
    texts = figure.axes[0].texts
    assert sorted(round(text.get_position()[1]) for text in texts) == [1, 2, 3]
    boxes = sorted((text.get_window_extent() for text in texts), key=lambda box: box.y0)
    assert all(a.y1 <= b.y0 for a, b in pairwise(boxes))


def test_names_of_many_classes_do_not_overlap() -> None:
    """As in GOOSE, which has 62: those that occur are shown, and each has room for its name."""
    shares = {f"class {k}": 1 / 40 if k % 3 else 0.0 for k in range(60)}
    split = {"class_frequency": shares, "range_edges": [0.0, 2.0], "range_histogram": [1.0]}
    figure = plot_statistics(split, {**split, "class_frequency": {"class 0": 1.0}}, ("train", "val"))
    figure.canvas.draw()
    labels = figure.axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == [n for n in shares if shares[n] or n == "class 0"]
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.y0)
    assert all(a.y1 <= b.y0 + 1 for a, b in pairwise(boxes))


@pytest.mark.invalid_arguments
@pytest.mark.parametrize("label", [[0, -2], [0, 2], [0, 2**40], [0], [0.5, 0.0]])
def test_a_label_without_a_colour_is_not_written(tmp_path, label):
    """It was written in grey, or with the number of another class."""
    xyz, palette = np.zeros((2, 3)), [(255, 0, 0), (0, 255, 0)]
    with pytest.raises(DataError, match="label "):
        write_ply(tmp_path / "a.ply", xyz, np.array(label), palette)
    with pytest.raises(DataError, match="label "):
        write_view(tmp_path / "a.html", xyz, np.array(label), ("a", "b"), palette, "title")
    assert not list(tmp_path.iterdir())
