"""Figures cut into their panels, which a phone shows below one another."""

from pathlib import Path
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.conftest import PROJECT
from topokd.paper.pieces import Box, Cut, _text, cut
from topokd.viz.style import use_style

ROOM, LETTER = 344, 9  # CSS pixels: of a figure on a phone of 390 without its frame, of the smallest letter
DRAWINGS = sorted(PROJECT.glob("figures/*/*/*.svg"))
CUT = (  # by name, the panels of figures that have more than one and are wider than a phone
    *(("figure3", 12), ("breakdown", 3), ("figure1_scaling", 3), ("shares", 4), ("dose", 9), ("figure8", 4)),
    *(
        ("proposition1", 2),
        ("figure7", 2),
        ("data_statistics", 2),
        ("power", 2),
        ("trials-comparison", 25),
        ("classes", 2),
        ("data_scan", 4),
        ("data_scans", 6),
        ("data_sample", 4),
    ),
)


def pieces_of(figure: Figure, folder: Path, room: float = ROOM) -> Cut | None:
    figure.savefig(folder / "drawing.svg")
    plt.close(figure)
    return cut(folder / "drawing.svg", room, LETTER)


def inside(inner: Box, outer: Box) -> bool:
    return (
        inner.left >= outer.left and inner.top >= outer.top and inner.right <= outer.right
        and inner.bottom <= outer.bottom
    )  # fmt: skip


def boxes_in_points(figure: Figure, parts: list) -> list[Box]:
    figure.canvas.draw()
    height = figure.get_figheight() * 72
    found = [part.get_window_extent().transformed(figure.dpi_scale_trans.inverted()) for part in parts]
    return [Box(72 * b.x0, height - 72 * b.y1, 72 * b.x1, height - 72 * b.y0) for b in found]


def test_every_panel_is_whole_with_its_title_labels_and_the_names_that_it_shares(tmp_path: Path) -> None:
    use_style()
    figure, panels = plt.subplots(2, 3, figsize=(10, 5), sharey="row")
    for number, panel in enumerate(panels.flat):
        panel.plot([0, 1], [number, 2 * number])
        panel.set(title=f"panel {number}", xlabel="a label")
    figure.suptitle("all of them")
    parts = [[panel, panel.title, panel.xaxis.label, *panel.get_xticklabels()[1:-1]] for panel in panels.flat]
    places = [boxes_in_points(figure, texts) for texts in parts]
    first = [boxes_in_points(figure, panel.get_yticklabels()[1:-1]) for panel in panels[:, 0]]
    whole = pieces_of(figure, tmp_path)
    assert whole is not None and whole.width == pytest.approx(720) and len(whole.pieces) == 7
    assert len(whole.pieces[0].boxes) == 1  # the title of all
    for number, piece in enumerate(whole.pieces[1:]):
        assert len(piece.boxes) == (1 if number % 3 == 0 else 2)  # of names and a panel
        names, own = piece.boxes[0], piece.boxes[-1]
        slack = 4.0  # a panel begins at its axis, whose numbers may stand out
        outer = Box(own.left - slack, own.top, own.right + slack, own.bottom)
        assert [place for place in places[number] if not inside(place, outer)] == [], outer
        assert all(inside(place, names) for place in first[number // 3]), number
        assert piece.width * LETTER <= ROOM * piece.letter


def test_a_label_of_all_panels_that_is_longer_than_a_panel_is_whole_beside_each(tmp_path: Path) -> None:
    use_style()
    figure, panels = plt.subplots(1, 3, figsize=(10, 2), sharey=True)
    for panel in panels:
        panel.plot([0, 1], [0, 1])
        panel.set(title="a panel", xlabel="step")
    label = figure.supylabel("a label (% of something)", fontsize=11)
    (place,) = boxes_in_points(figure, [label])
    (axis, *_) = boxes_in_points(figure, [panels[0].patch])
    assert place.top > 2 and place.bottom > axis.bottom + 6  # the figure shows it, and it ends below the axis
    whole = pieces_of(figure, tmp_path)
    assert whole is not None and len(whole.pieces) == 3
    assert all(inside(place, piece.boxes[0]) for piece in whole.pieces)


def test_a_legend_of_the_figure_is_broken_into_lines_that_fit(tmp_path: Path) -> None:
    use_style()
    figure, panels = plt.subplots(1, 2, figsize=(11, 3))
    names = [f"a network with the number {number}" for number in range(5)]
    for panel in panels:
        for name in names:
            panel.plot([0, 1], [0, 1], label=name)
    handles = panels[0].get_legend_handles_labels()
    legend = figure.legend(*handles, loc="outside lower center", ncols=5, fontsize=9)
    places = boxes_in_points(figure, legend.get_texts())
    whole = pieces_of(figure, tmp_path, room=370)
    assert whole is not None
    lines = [piece.boxes[0] for piece in whole.pieces[2:]]
    assert len(lines) > 1 and all(sum(inside(place, line) for line in lines) == 1 for place in places)


def test_one_panel_and_panels_that_do_not_fit_are_not_cut(tmp_path: Path) -> None:
    figure, _ = plt.subplots(figsize=(10, 3))
    assert pieces_of(figure, tmp_path) is None
    figure, _ = plt.subplots(1, 2, figsize=(12, 3))
    assert pieces_of(figure, tmp_path) is None


def test_pictures_below_one_name_are_read_column_by_column(tmp_path: Path) -> None:
    figure, panels = plt.subplots(2, 3, figsize=(10, 6))
    for column, name in enumerate("abc"):
        for panel in panels[:, column]:
            panel.imshow(np.zeros((4, 4)))
            panel.set(xticks=[], yticks=[])
        panels[0, column].set_title(name)
    whole = pieces_of(figure, tmp_path)
    assert whole is not None
    places = [(round(piece.boxes[0].left / 240), piece.boxes[0].top > 216) for piece in whole.pieces]
    assert places == [(0, False), (0, True), (1, False), (1, True), (2, False), (2, True)]


@pytest.mark.parametrize(("name", "panels"), CUT)
def test_the_committed_figures_are_cut(name: str, panels: int) -> None:
    found = [drawing for drawing in DRAWINGS if drawing.stem == name]
    assert found
    for drawing in found:
        whole = cut(drawing, ROOM, LETTER)
        assert whole is not None, drawing
        tall = [piece for piece in whole.pieces if piece.boxes[0].bottom - piece.boxes[0].top > 60]
        assert len(tall) == panels, drawing
        for piece in whole.pieces:
            assert piece.letter == 0 or piece.width * LETTER <= ROOM * piece.letter


def texts_of(drawing: Path) -> tuple[list[Box], Box]:
    """The texts of a drawing, and the drawing, in points."""
    root = ElementTree.parse(drawing).getroot()
    groups = [group for group in root.iter() if group.attrib.get("id", "").startswith("text_")]
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    return [found[0] for group in groups if (found := _text(group)) is not None], Box(0, 0, width, height)


@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda path: "-".join(path.parts[-3:]))
def test_no_text_of_a_committed_figure_is_cut_off(drawing: Path) -> None:
    """Neither by the figure's edge nor by the edges of its pieces. Boxes of texts are estimated, within `slack`."""
    slack = 4.0
    texts, whole = texts_of(drawing)
    edge = Box(-slack, -slack, whole.right + slack, whole.bottom + slack)
    assert [text for text in texts if not inside(text, edge)] == []
    pieces = cut(drawing, ROOM, LETTER)
    boxes = [box for piece in pieces.pieces for box in piece.boxes] if pieces else []
    for box in boxes:
        outer = Box(box.left - 3 * slack, box.top - slack, box.right + 3 * slack, box.bottom + slack)
        for text in texts:
            middle = (text.left + text.right) / 2, (text.top + text.bottom) / 2
            if box.left < middle[0] < box.right and box.top < middle[1] < box.bottom:
                assert inside(text, outer), (text, box)
    assert not boxes or all(any(inside(text, box.padded()) for box in boxes) for text in texts)
