"""Figures of scans and of the framework."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_hex

from topokd.data import IGNORE, Scan, voxelize
from topokd.viz.framework import figure2
from topokd.viz.scans import sample_figure, scan_figure, scans_figure
from topokd.viz.training import TERM_COLORS

PALETTE = [(250, 0, 0), (0, 250, 0)]


@pytest.fixture(scope="module")
def scan() -> Scan:
    rng = np.random.default_rng(0)
    label = np.array([0] * 50 + [1] * 30 + [IGNORE] * 20)
    return Scan(rng.uniform(-9, 9, (100, 3)), rng.random(100), label, name="08/000001")


def test_a_scan_is_shown_by_class_and_intensity_from_two_sides(scan: Scan) -> None:
    figure = scan_figure(scan, ("road", "car"), PALETTE)
    titles = [axes.get_title() for axes in figure.axes]
    assert "08/000001: classes" in titles and "intensity" in titles and len(figure.axes) == 4
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[:2] == ["road", "car"] and len(legend) == 3  # and the points without a label


def test_a_long_name_stays_inside_the_figure(scan: Scan) -> None:
    name = "2022-08-30_siegertsbrunn_feldwege/2022-08-30_siegertsbrunn_feldwege__0592_1661862111"
    for figure in (
        scan_figure(replace(scan, name=name), ("road", "car"), PALETTE),
        scans_figure([replace(scan, name=name)] * 6, PALETTE),
    ):
        figure.canvas.draw()
        boxes = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
        assert all(a.x1 < b.x0 for a, b in pairwise(boxes) if abs(a.y0 - b.y0) < 1)


def test_several_scans_leave_the_other_panels_empty(scan: Scan) -> None:
    figure = scans_figure([scan, scan], PALETTE)
    assert [axes.get_visible() for axes in figure.axes] == [True, True, False, False, False, False]


def test_a_training_sample_is_shown_step_by_step_with_its_number_of_points(scan: Scan) -> None:
    voxels = voxelize(scan, 1.0)
    figure = sample_figure(scan, scan, voxels, voxels, 1.0, PALETTE)
    count = len(voxels)
    assert [axes.get_title() for axes in figure.axes] == [
        "as read: 100", "augmented: 100", f"voxels of 1 m: {count}", f"crop: {count}",
    ]  # fmt: skip


def test_the_framework_shows_the_blocks_of_each_stage_in_the_colours_of_the_terms() -> None:
    (axes,) = figure2(("46 M", (2, 2, 2, 6, 3)), ("3 M", (1, 1, 1, 4, 1))).axes
    texts = [text.get_text() for text in axes.texts]
    assert "Teacher, frozen · 46 M parameters" in texts and "Student, trained · 3 M parameters" in texts
    depths = [text.split("×")[1] for text in texts if text.startswith("$F^")]
    assert depths == ["2", "2", "2", "6", "3", "1", "1", "1", "4", "1"]
    edges = {to_hex(patch.get_edgecolor()) for patch in axes.patches}
    assert {TERM_COLORS[term] for term in ("seg", "kd", "topo", "grad")} <= edges
