"""One renderer for every exhibit: the report and notebook 90 show the same HTML."""

from __future__ import annotations

import base64
import functools
import io
import itertools
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import matplotlib.pyplot
from markupsafe import Markup, escape
from PIL import Image

from topokd.paper.exhibits import Exhibit, Figure, Listing, Table
from topokd.paper.grid import Grid, grid
from topokd.paper.lettering import smallest_lettering
from topokd.paper.links import measured_over, sources
from topokd.paper.narrow import narrow_drawing
from topokd.paper.pieces import FRAME, cut
from topokd.paper.results import Results

TEMPLATES = Path(__file__).parent / "templates"
MAX_SVG_BYTES = 250_000  # of a drawing that the page holds; larger ones contain rasters of points
PIXELS = 0.6  # CSS pixels per pixel of an image: 160 dpi shown at 96
READABLE = 9  # CSS pixels of the smallest letter of a figure on a phone
PHONE = 348  # CSS pixels of a figure on a phone of 390
HALF_A_PAGE = 500  # CSS pixels: on paper, figures that are legible at this width stand side by side


def render_exhibit(exhibit: Exhibit, results: Results, figures: Path) -> Markup:
    """HTML of an exhibit; one that does not exist yet shows the command that makes it, an optional one is empty.

    Args:
        exhibit: its declaration.
        results: the profile's results.
        figures: folder of the profile's figures.

    Raises:
        TypeError: ``exhibit`` is not a Table, Figure or Listing.
    """
    if isinstance(exhibit, Table):
        template, context = "table.html.jinja", _table_context(exhibit, results)
    elif isinstance(exhibit, Figure):
        template, context = "figure.html.jinja", _figure_context(exhibit, results, figures)
    elif isinstance(exhibit, Listing):
        template, context = "listing.html.jinja", _listing_context(exhibit, results)
    else:
        raise TypeError(f"{exhibit.id} is not a Table, Figure or Listing but a {type(exhibit).__name__}")
    context |= {"exhibit": exhibit, "command": exhibit.command(results.profile), "about": _about(exhibit, results)}
    return Markup(environment().get_template(template).render(**context).strip())


def _about(exhibit: Exhibit, results: Results, files: Sequence[str] = ()) -> Markup:
    """Below a caption: the data behind the numbers, and links to the sources that exist."""
    link = Markup(' · <a href="{}">{}</a>')
    links = Markup("").join(link.format(address, text) for text, address in sources(exhibit, results, files))
    whole = Markup('<span class="sources">Data: {}.<span class="links">{}</span></span>')  # links are not printed
    return whole.format(measured_over(exhibit, results), links)


@functools.cache
def environment() -> jinja2.Environment:
    """The templates, with the filters ``prose``, ``sentence`` and ``unbroken``: a number and its unit on one line."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    templates.filters["prose"] = prose
    templates.filters["unbroken"] = lambda text: re.sub(r"(?<=\d) (?=[A-Za-z/]{1,3}$)", "\N{NO-BREAK SPACE}", text)
    templates.filters["sentence"] = lambda text: prose(f"{text[:1].upper()}{text[1:].rstrip('.')}.")
    return templates


def stylesheet(*names: str) -> Markup:
    """Contents of our CSS files: ``exhibits`` for the exhibits, ``page`` for the report around them."""
    return Markup("\n".join((TEMPLATES / f"{name}.css").read_text(encoding="utf-8").strip() for name in names))


def script(*names: str) -> Markup:
    """Contents of our scripts: ``pages`` sets the pages for printing, ``contents`` shows where the reader is."""
    return Markup("\n".join((TEMPLATES / f"{name}.js").read_text(encoding="utf-8").strip() for name in names))


def prose(text: str) -> Markup:
    r"""``text`` escaped for HTML, with `code` between backticks and **bold** between asterisks.

    A line does not end before or after ``±``, nor between a number and its ``M``.

    >>> prose("a < `b` and **c**")
    Markup('a &lt; <code>b</code> and <b>c</b>')
    >>> prose("4.6 M ± 1")
    Markup('4.6\xa0M\xa0±\xa01')
    """
    whole = re.sub(r" (?=±)|(?<=±) |(?<=\d) (?=M\b)", "\N{NO-BREAK SPACE}", str(escape(text)))
    code = re.sub(r"`([^`]+)`", r"<code>\1</code>", whole)
    return Markup(re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", code))


def table_grid(table: Table, results: Results) -> Grid:
    """A table laid out for readers."""
    return grid(table.lines(results), table.side, results.labels if table.labels else None, table.measured)


def _table_context(table: Table, results: Results) -> dict[str, Any]:
    grid = table_grid(table, results)
    groups: list[tuple[str, int]] = []  # source and number of columns, above the columns
    if table.side == "columns":
        runs = itertools.groupby(source for source, _, _ in grid.columns)
        groups = [(source, len(list(columns))) for source, columns in runs]
    columns = len(grid.columns)
    return {
        "grid": grid,
        "groups": groups,
        "turn": table.side == "rows" and columns > 12,  # column names written upwards
        "dense": columns > 10,  # small type
        "half": columns <= 4,  # on paper two stand side by side
    }


def _figure_context(figure: Figure, results: Results, folder: Path) -> dict[str, Any]:
    """The pictures that exist; with several files, each caption names its own."""
    fact = figure.fact(results) if figure.fact else ""
    whole = f"{figure.caption} {fact}".strip()
    pictures: list[dict[str, Any]] = []
    for file in figure.files:
        path = folder / f"{file}.png"
        if not path.is_file():
            continue
        address, width = inlined_image(path)
        caption, part = whole, ""
        if len(figure.files) > 1:
            part = f" ({path.stem})"
            name = path.stem.partition("-")[2] or path.stem
            caption = f"The same for `{name}`." if pictures else f"{whole} Shown: `{name}`."
        pictures.append({
            "address": address, "width": width, "readable": readable_width(path.with_suffix(".svg"), width),
            "alt": f"{figure.title}{part}. {whole}".replace("`", ""), "caption": caption,
            "about": _about(figure, results, [file]), "narrow": None, "pieces": _pieces(path.with_suffix(".svg")),
        })  # fmt: skip
    if pictures and figure.narrow and figure.draw and (drawn := figure.draw(results)) is not None:
        drawing = narrow_drawing(drawn)
        matplotlib.pyplot.close(drawn)
        pictures[0]["narrow"] = {"address": svg_address(drawing), "readable": readable_width(io.BytesIO(drawing), 0)}
    return {"pictures": pictures, "caption": whole, "half": HALF_A_PAGE}


def _listing_context(listing: Listing, results: Results) -> dict[str, Any]:
    frame = listing.frame(results)
    return {"columns": list(frame.columns), "lines": frame.to_dict("records")}


def readable_width(drawing: Path | io.BytesIO, width: int) -> int:
    """Smallest width in CSS pixels with no letter below `READABLE`; that of the image for a drawing without letters."""
    smallest = None if isinstance(drawing, Path) and not drawing.is_file() else smallest_lettering(drawing)
    return width if smallest is None else math.ceil(READABLE / smallest)


def _pieces(drawing: Path) -> str:
    """For panels.js, the size of a drawing in points and its pieces, each with the size of its smallest letter.

    Empty for a drawing that a phone can show whole or that cannot be cut.
    """
    whole = cut(drawing, PHONE - FRAME, READABLE) if drawing.is_file() and readable_width(drawing, 0) > PHONE else None
    if whole is None:
        return ""
    pieces = [[piece.letter, *([round(side, 1) for side in box] for box in piece.boxes)] for piece in whole.pieces]
    return json.dumps([whole.width, whole.height, pieces], separators=(",", ":"))


def svg_address(drawing: bytes) -> str:
    """A data URL with an SVG."""
    return "data:image/svg+xml;base64," + base64.b64encode(drawing).decode()


def inlined_image(path: Path) -> tuple[str, int]:
    """A data URL with the content of a figure, and its width in CSS pixels.

    The SVG next to the PNG if it is small; otherwise the PNG as lossless WebP, so that class colours stay exact.
    """
    with Image.open(path) as image:
        width = round(image.width * PIXELS)
        drawing = path.with_suffix(".svg")
        if drawing.is_file() and drawing.stat().st_size <= MAX_SVG_BYTES:
            return svg_address(drawing.read_bytes()), width
        stream = io.BytesIO()
        image.convert("RGB").save(stream, "WEBP", lossless=True, quality=60, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode(), width
