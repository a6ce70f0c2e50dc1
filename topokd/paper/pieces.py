"""A figure cut into its panels, so that a phone can show the same picture with its panels below one another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

Element = ElementTree.Element
NUMBER = r"-?[\d.]+(?:e-?\d+)?"
MOVE = re.compile(rf"translate\(\s*({NUMBER})(?:[ ,]+({NUMBER}))?\s*\)")
TURN, SCALE = re.compile(rf"rotate\(\s*({NUMBER})"), re.compile(rf"scale\(\s*({NUMBER})")
POINT = re.compile(rf"[ML] ({NUMBER}) ({NUMBER})")
LETTER, ABOVE, BELOW = 64.0, 78.0, 24.0  # width, ascent and descent of a glyph, whose font has 100 units
PAD, HANDLE = 2.5, 30.0  # points: around a piece, and from the mark of a legend's entry to its text
FRAME = 4  # CSS pixels: border and padding around the pieces, as in panels.js and page.css
NAME = 6.0  # points: half a name, which stands below the axis if it belongs to its end


class Box(NamedTuple):
    """A rectangle of a drawing in points; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def padded(self) -> Box:
        """With `PAD` around it."""
        return Box(self.left - PAD, self.top - PAD, self.right + PAD, self.bottom + PAD)


class Piece(NamedTuple):
    """Boxes that stand side by side: a panel, with the names beside its first neighbour if it has none of its own.

    Args:
        boxes: From left to right, their upper ends at one height.
        letter: Size in points of its smallest letter; 0 without letters.
    """

    boxes: tuple[Box, ...]
    letter: float

    @property
    def width(self) -> float:
        """Points."""
        return sum(box.right - box.left for box in self.boxes)


@dataclass
class _Part:
    """A panel, a title or a legend: where it is, and its texts."""

    box: Box | None = None  # of the panel itself
    names: bool = False  # whether texts stand beside its vertical axis
    legend: bool = False
    texts: list[tuple[Box, float]] = field(default_factory=list)

    @property
    def whole(self) -> Box:
        handle = HANDLE * (self.legend and self.box is None)
        boxes = [*([self.box] if self.box else []), *(box for box, _ in self.texts)]
        left, top, right, bottom = _around(boxes)
        return Box(left - handle, top, right, bottom)


class Cut(NamedTuple):
    """A drawing and its pieces, in the order in which they are read.

    Args:
        width: Of the whole drawing, in points.
        height: The same.
        pieces: From the top.
    """

    width: float
    height: float
    pieces: tuple[Piece, ...]


def cut(drawing: Path, room: float, letter: float) -> Cut | None:
    """Cut a matplotlib SVG into panels, titles and legends.

    Args:
        drawing: The .svg file.
        room: CSS pixels that a piece may be wide.
        letter: CSS pixels of its smallest letter.

    Returns:
        None if the figure has one panel, or a piece that would be wider than ``room``.

    Examples:
        >>> import tempfile
        >>> import matplotlib.pyplot as plt
        >>> figure, panels = plt.subplots(1, 2, figsize=(8, 3), sharey=True, layout="constrained")
        >>> path = Path(tempfile.mkdtemp()) / "drawing.svg"
        >>> figure.savefig(path)
        >>> plt.close(figure)
        >>> [len(piece.boxes) for piece in cut(path, room=350, letter=9).pieces]  # the second with the names
        [1, 2]
        >>> cut(path, room=200, letter=9) is None
        True
    """
    root = ElementTree.parse(drawing).getroot()
    panels, others = _parts(root)
    if len(panels) < 2 or any(panel.box is None and not panel.legend for panel in panels):
        return None
    rows = _rows(panels)
    bands = [_around([panel.whole for panel in row]) for row in rows]
    found: list[tuple[float, Piece]] = []
    in_columns = _in_columns(rows)
    for row, band in zip(rows, bands, strict=True):
        beside = [text for part in others for text in part.texts if _inside(text[0], band)]
        found += [(bands[0].top if in_columns else band.top, piece) for piece in _row(row, band, beside)]
    if in_columns:
        found = [found[place] for column in range(len(rows[0])) for place in range(column, len(found), len(rows[0]))]
    for part in others:
        outside = [text for text in part.texts if not any(_inside(text[0], band) for band in bands)]
        found += [(_around([box for box, _ in texts]).top, _line(texts, part.legend, room / letter))
                  for texts in _lines(outside, part.legend, room / letter)]  # fmt: skip
    found.sort(key=lambda entry: entry[0])
    if any(piece.width * letter > room * piece.letter for _, piece in found if piece.letter):
        return None
    width, height = (float(size) for size in root.attrib["viewBox"].split()[2:])
    return Cut(width, height, tuple(piece for _, piece in found))


def _parts(root: Element) -> tuple[list[_Part], list[_Part]]:
    """The panels; and titles and legends that belong to the figure."""
    panels: list[_Part] = []
    others: list[_Part] = []

    def walk(element: Element, panel: _Part | None, legend: _Part | None, name: bool) -> None:
        for child in element:
            label = child.attrib.get("id", "")
            inside, key = panel, legend
            if label.startswith("axes_"):
                inside = _Part(_rectangle(child))
                panels.append(inside)
            elif label.startswith("legend_"):
                if panel is None:
                    key = _Part(legend=True)
                    others.append(key)
                else:
                    panel.legend = True
            elif label.startswith("text_"):
                text = _text(child)
                if text is None:
                    continue
                owner = panel or legend
                if owner is None:
                    owner = _Part()
                    others.append(owner)
                owner.texts.append(text)
                owner.names |= name
                continue
            walk(child, inside, key, name or label.startswith("ytick_"))

    walk(root, None, None, False)
    return panels, others


def _rectangle(panel: Element) -> Box | None:
    """The frame of a panel: its first path, if that is its background."""
    first = next(iter(panel), None)
    if first is None or not first.attrib.get("id", "").startswith("patch_"):
        return None
    points = [(float(x), float(y)) for x, y in POINT.findall(next(iter(first)).attrib.get("d", ""))]
    if len(points) < 4:
        return None
    x, y = zip(*points, strict=True)
    return Box(min(x), min(y), max(x), max(y))


def _text(group: Element) -> tuple[Box, float] | None:
    """Where a text is, and the size of its smallest letter in points."""
    for element in group.iter():
        transform = element.attrib.get("transform", "")
        move, scale = MOVE.search(transform), SCALE.search(transform)
        if move is None or scale is None or element.tag.endswith("use"):
            continue
        ends, sizes = [], []
        for glyph in element.iter():
            if not glyph.tag.endswith("use"):
                continue
            at, own = MOVE.search(glyph.attrib.get("transform", "")), SCALE.search(glyph.attrib.get("transform", ""))
            size = float(own[1]) if own else 1.0
            ends.append((float(at[1]) if at else 0.0) + LETTER * size)
            sizes.append(size)
        if not ends:
            return None
        x, y, unit = float(move[1]), float(move[2] or 0), float(scale[1])
        width, up, down = max(ends) * unit, ABOVE * unit, BELOW * unit
        upright = (turn := TURN.search(transform)) is not None and abs(abs(float(turn[1])) - 90) < 1
        box = Box(x - up, y - width, x + down, y) if upright else Box(x, y - up, x + width, y + down)
        return box, 100 * unit * min(sizes)
    return None


def _around(boxes: Sequence[Box]) -> Box:
    left, top, right, bottom = zip(*boxes, strict=True)
    return Box(min(left), min(top), max(right), max(bottom))


def _inside(box: Box, band: Box) -> bool:
    """Whether a text is at the height of a row of panels."""
    return band.top <= (box.top + box.bottom) / 2 <= band.bottom


def _rows(panels: Sequence[_Part]) -> list[list[_Part]]:
    """Panels that stand side by side, from the top; each row from the left."""
    rows: list[list[_Part]] = []
    for panel in sorted(panels, key=lambda part: (part.box or part.whole).top):
        box = panel.box or panel.whole
        last = max(((other.box or other.whole).bottom for other in rows[-1]), default=0.0) if rows else 0.0
        if rows and (box.top + box.bottom) / 2 < last:
            rows[-1].append(panel)
        else:
            rows.append([panel])
    return [sorted(row, key=lambda part: part.whole.left) for row in rows]


def _in_columns(rows: Sequence[Sequence[_Part]]) -> bool:
    """Whether pictures are read column by column: those below have their names above the first row alone."""
    below = [panel for row in rows[1:] for panel in row]
    same = len({len(row) for row in rows}) == 1 and not any(panel.names for row in rows for panel in row)
    return same and all(panel.texts for panel in rows[0]) and not all(panel.texts for panel in below)


def _row(row: Sequence[_Part], band: Box, beside: Sequence[tuple[Box, float]]) -> Iterator[Piece]:
    """A piece for each panel of a row; those without names have the ones that the row's first panel has."""
    first = row[0]
    names: Box | None = None
    if first.names and first.box:
        axis = first.box
        left = [box for box, _ in [*first.texts, *beside] if box.right <= axis.left]
        band = band._replace(top=min([band.top, *(box.top for box in left)]))  # a label may be longer than its axis
        bottom = max([axis.bottom + NAME, *(box.bottom + PAD for box in left)])
        start = min([first.whole.left, *(box.left for box in left)])
        names = Box(start - PAD, band.top - PAD, axis.left, bottom)
    shared = [size for box, size in [*first.texts, *beside] if names and box.right <= names.right]
    ends = 0.0  # of the panel to the left
    for panel in row:
        whole = Box(panel.whole.left, band.top, panel.whole.right, band.bottom).padded()
        sizes = [size for _, size in panel.texts]
        if names and panel is first:
            around = whole._replace(left=min(whole.left, names.left), bottom=max(whole.bottom, names.bottom))
            yield Piece((around,), min([*sizes, *shared]))
        elif names and panel.box and not panel.names:
            yield Piece(
                (names, whole._replace(left=max(ends, min(panel.box.left, whole.left)))), min([*sizes, *shared])
            )
        else:
            yield Piece((whole,), min(sizes, default=0.0))
        ends = (panel.box or whole).right + PAD


def _lines(texts: Sequence[tuple[Box, float]], legend: bool, room: float) -> Iterator[list[tuple[Box, float]]]:
    """Texts of one height; those of a legend in as many lines as they need."""
    rest = sorted(texts, key=lambda text: (round(text[0].bottom), text[0].left))
    line: list[tuple[Box, float]] = []
    for text in rest:
        whole = _around([box for box, _ in [*line, text]])
        letters = min(size for _, size in [*line, text])
        fits = (whole.right - whole.left + 2 * HANDLE) <= room * letters
        if line and (abs(text[0].bottom - line[0][0].bottom) > 2 or (legend and not fits)):
            yield line
            line = []
        line.append(text)
    if line:
        yield line


def _line(texts: Sequence[tuple[Box, float]], legend: bool, room: float) -> Piece:
    left, top, right, bottom = _around([box for box, _ in texts]).padded()
    return Piece((Box(left - HANDLE * legend, top, right, bottom),), min(size for _, size in texts))
