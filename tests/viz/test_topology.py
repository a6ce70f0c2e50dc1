"""Figures of persistence show the pairs that they are given."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from topokd.topology import vietoris_rips
from topokd.viz.topology import (
    agreement_figure,
    dampening_figure,
    filtration_figure,
    homology_cost_figure,
    plot_barcode,
    plot_diagram,
    proposition_figure,
    rips_complex,
    sampling_figure,
)

DIAGRAMS = [torch.tensor([[0.0, 1.0], [0.0, 3.0]]), np.array([[1.0, 1.4]]), np.empty((0, 2))]


def test_a_diagram_shows_every_pair_above_the_diagonal() -> None:
    axes = plot_diagram(plt.subplots()[1], DIAGRAMS)
    drawn = [np.asarray(points.get_offsets()) for points in axes.collections]
    for points, expected in zip(drawn, DIAGRAMS, strict=True):
        np.testing.assert_allclose(points, np.asarray(expected))
    (diagonal,) = axes.lines
    assert (diagonal.get_xdata() == diagonal.get_ydata()).all() and max(diagonal.get_xdata()) > 3
    assert axes.get_xlim() == axes.get_ylim()


def test_a_barcode_has_a_bar_for_each_pair_and_an_arrow_for_each_essential_class() -> None:
    axes = plot_barcode(plt.subplots()[1], DIAGRAMS[:2], essential=2)
    bars = [[segment[:, 0].tolist() for segment in lines.get_segments()] for lines in axes.collections]
    assert bars == [[[0.0, 1.0], [0.0, 3.0]], [[1.0, 1.4]]]
    assert len([text for text in axes.texts if not text.get_text()]) == 2  # arrows are annotations without a text


def test_a_barcode_keeps_the_most_persistent_bars() -> None:
    bars = np.array([[0.0, 1.0], [0.0, 5.0], [2.0, 4.0]])
    axes = plot_barcode(plt.subplots()[1], [bars], most=2)
    assert [segment[:, 0].tolist() for segment in axes.collections[0].get_segments()] == [[0.0, 5.0], [2.0, 4.0]]


@pytest.mark.parametrize(("scale", "edges", "triangles"), [(0.5, 0, 0), (1.0, 4, 0), (1.5, 6, 4)])
def test_the_complex_of_a_square_at_each_scale(scale: float, edges: int, triangles: int) -> None:
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    complexes = rips_complex(square, scale)
    assert [len(simplices) for simplices in complexes] == [edges, triangles]


def test_the_filtration_is_drawn_once_per_scale_above_its_barcode() -> None:
    points = np.random.default_rng(0).normal(size=(12, 3)) / 3
    figure = filtration_figure(points, vietoris_rips(points), (0.2, 0.6, 5.0))
    *complexes, barcode = figure.axes
    assert [axes.get_title() for axes in complexes] == [rf"$\epsilon = {scale}$" for scale in ("0.2", "0.6", "5")]
    assert len(barcode.lines) == 3  # one dashed line for each scale
    bars = sum(len(lines.get_segments()) for lines in barcode.collections)
    assert bars == sum(len(diagram) for diagram in vietoris_rips(points).diagrams)


def test_engines_are_drawn_over_one_another_with_the_largest_distance() -> None:
    cloud = np.random.default_rng(1).normal(size=(10, 2))
    by_shape = {shape: {"giotto-ph": vietoris_rips(cloud), "reduced": vietoris_rips(cloud)} for shape in ("a", "b")}
    rows = [{"shape": "a", "bottleneck": 0.0}, {"shape": "b", "bottleneck": 0.0}, {"shape": "b", "bottleneck": 2e-16}]
    figure = agreement_figure(by_shape, rows)
    assert [axes.get_title() for axes in figure.axes] == ["a, 10 points", "b, 10 points"]
    stated = [next(text.get_text() for text in axes.texts) for axes in figure.axes]
    assert stated == ["$d_B$ = 0", "$d_B$ = 2.0e-16"]


def test_the_log_weight_separates_signal_from_noise() -> None:
    gradients = {"persistence": [0.1, 0.2, 2.0], "weighted": [0.2, 0.3, 2.5]}
    lemma = [{"delta": d, "bound": 2 * d, "contribution": d, "with_diagonal": d / 2} for d in (1e-3, 1e-2, 1e-1)]
    left, right = dampening_figure(gradients, lemma).axes
    shown = {
        points.get_label(): len(points.get_offsets()) for points in left.collections if points.get_label()[0] != "_"
    }
    assert shown == {"log weight, noise": 2, "log weight, signal": 1}
    assert [line.get_ydata().tolist() for line in right.lines] == [
        [row[name] for row in lemma] for name in ("bound", "contribution", "with_diagonal")
    ]


def test_points_without_a_gradient_are_drawn_below_the_others_with_another_marker() -> None:
    gradients = {"persistence": [0.1, 0.2, 0.3, 2.0], "weighted": [0.2, 0.0, 0.3, 2.5]}
    left, _ = dampening_figure(
        gradients, [{"delta": 1.0, "bound": 1.0, "contribution": 1.0, "with_diagonal": 1.0}]
    ).axes
    marks = {marks.get_label(): np.asarray(marks.get_offsets()) for marks in left.collections}
    ((x, y),) = marks["log weight, exactly 0"]
    assert x == 0.2 and 0 < y < 0.2 and left.get_ylim()[0] < y
    stems = next(lines for lines in left.collections if hasattr(lines, "get_segments"))
    assert min(segment[:, 1].min() for segment in stems.get_segments()) == y


def test_proposition_one_is_shown_as_a_share_of_its_bound() -> None:
    rows = [
        {"shape": shape, "kept": kept, "bottleneck": [0.5, 0.25], "bound": 1.0}
        for shape in ("circle", "torus")
        for kept in (10, 40)
    ]
    for panel, share in zip(proposition_figure(rows).axes, (0.5, 0.25), strict=True):
        curves = [line for line in panel.lines if line.get_label() in ("circle", "torus")]
        assert [list(line.get_ydata()) for line in curves] == [[share, share]] * 2
        assert [list(line.get_xdata()) for line in curves] == [[10, 40]] * 2


def test_times_are_drawn_against_the_number_of_points() -> None:
    rows = [{"points": n, "kept": 128, "farthest_s": n / 1e6, "random_s": n / 1e7} for n in (1000, 4000)]
    (axes,) = sampling_figure(rows).axes
    assert [list(line.get_xdata()) for line in axes.lines] == [[1000, 4000]] * 2
    assert list(axes.lines[0].get_ydata()) == [1.0, 4.0] and axes.get_ylabel() == "time (ms), $M$ = 128"
    (axes,) = homology_cost_figure([{"points": n, "h1_s": n / 1e5, "h2_s": n / 1e3} for n in (50, 100)]).axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[0.5, 1.0], [50.0, 100.0]]  # milliseconds
