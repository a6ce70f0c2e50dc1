"""The size of the lettering of a drawing, so that a page can keep it legible."""

from __future__ import annotations

import io
import re
from pathlib import Path
from xml.etree import ElementTree

GLYPH = "{http://www.w3.org/2000/svg}use"
SCALE = re.compile(r"scale\(\s*([\d.]+)")
UNITS = 100.0  # a glyph of matplotlib is drawn for a font of 100 units


def smallest_lettering(drawing: str | Path | io.BytesIO) -> float | None:
    """Font size of the smallest letter of a matplotlib SVG, as a share of the drawing's width.

    ``size = 100 s_1 s_2 ... / w``: letters are glyphs for a font of 100 units, inside groups ``text_*`` whose scales
    s_1, s_2, ... multiply (an index or exponent has its own); w is the width of the view box.

    Args:
        drawing: the .svg file, or one that is open.

    Returns:
        The share, or None for a drawing without letters.

    Examples:
        >>> import tempfile
        >>> import matplotlib.pyplot as plt
        >>> figure = plt.figure(figsize=(10, 1))  # 720 points
        >>> _ = figure.text(0, 0.5, "$x_0$", fontsize=10)  # the index has 7 points
        >>> path = Path(tempfile.mkdtemp()) / "drawing.svg"
        >>> figure.savefig(path)
        >>> plt.close(figure)
        >>> round(smallest_lettering(path) * 720, 1)
        7.0
    """
    root = ElementTree.parse(drawing).getroot()
    width = float(root.attrib["viewBox"].split()[2])
    sizes = [
        size
        for group in root.iter()
        if group.attrib.get("id", "").startswith("text_")
        for size in _glyphs(group, UNITS)
    ]
    return min(sizes) / width if sizes else None


def _glyphs(element: ElementTree.Element, size: float) -> list[float]:
    """Font sizes of the glyphs below an element that is shown at ``size``."""
    if scale := SCALE.search(element.attrib.get("transform", "")):
        size *= float(scale[1])
    if element.tag == GLYPH:
        return [size]
    return [inner for child in element if not child.tag.endswith("defs") for inner in _glyphs(child, size)]
