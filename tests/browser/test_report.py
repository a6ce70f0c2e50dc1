"""The report in a real browser: at the widths of a desk and a phone and on paper everything can be read."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chromium import CHROMIUM, FLAGS, NEEDS_CHROMIUM
from tests.conftest import PROJECT
from topokd.datasets import BENCHMARKS
from topokd.paper.lettering import smallest_lettering
from topokd.paper.report import render
from topokd.paper.results import Results

pytestmark = [NEEDS_CHROMIUM, pytest.mark.timeout(900)]

PROFILES = sorted(path.parent.name for path in (PROJECT / "results").glob("*/report.html"))
DESK, NARROW, TABLET, PHONE = 1440, 1000, 768, 390  # CSS pixels
PAPER = 1032  # a landscape A4 less its margins, at 96 pixels an inch
WIDTHS = {"desk": DESK, "narrow": NARROW, "tablet": TABLET, "phone": PHONE, "paper": PAPER}
MOVING = ("figure2.svg", "confusion.svg", "figure4.svg")  # on a phone: one picture, whose parts belong together
LEGENDS = ("figure3", "data_scan")  # figures whose legends name classes
CUT = """(screen) => {  // texts that are not fully visible, with the frame that cuts them off
  const cut = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode, range = document.createRange();
    if (!node.textContent.trim() || !node.parentElement.checkVisibility()) continue;
    range.selectNodeContents(node);
    for (let frame = node.parentElement; frame; frame = frame.parentElement) {
      if (frame !== document.body && getComputedStyle(frame).overflowX === 'visible') continue;
      const inner = frame === document.body ? { left: 0, right: innerWidth } : frame.getBoundingClientRect();
      const out = [...range.getClientRects()].some((r) => r.right > inner.right + 1 || r.left < inner.left - 1);
      const moves = frame.matches('.scroll, .view, pre');
      if (out && !(screen && moves)) cut.push([node.textContent.trim(), frame.className]);
      if (out || moves) break;  // what moves inside a frame is judged by that frame
    }
  }
  return cut;
}"""
HINTS = """() => [...document.querySelectorAll('.scroll, .view')]  // frames that move sideways without saying so
  .filter((frame) => frame.scrollWidth > frame.clientWidth + 1)
  .filter((frame) => !/sideways/.test(getComputedStyle(frame, '::before').content)).map((frame) => frame.textContent)"""
SIDEWAYS = """(names) => names.filter((name) => {  // tables that move sideways or are not there
  const frame = document.querySelector(`#${name} + .scroll`);
  return !frame || frame.scrollWidth > frame.clientWidth + 1;
})"""
MOVED = """() => [...document.querySelectorAll('figure')]  // files of the figures that move sideways
  .filter((figure) => figure.querySelector('.view').scrollWidth > figure.querySelector('.view').clientWidth + 1)
  .flatMap((figure) => [...figure.querySelectorAll('figcaption a')].map((a) => a.href))
  .filter((link) => link.endsWith('.svg')).map((link) => link.split('/').at(-1))"""
IDLE_HINTS = """() => [...document.querySelectorAll('.view')]  // figures that say it and do not move
  .filter((frame) => frame.scrollWidth <= frame.clientWidth + 1)
  .filter((frame) => /sideways/.test(getComputedStyle(frame, '::before').content))
  .map((frame) => frame.firstChild.alt)"""
TORN = """() => [  // what a page's end may cut in two, or part from what it heads
  ...[...document.querySelectorAll('tr, .view')].filter((part) => getComputedStyle(part).breakInside !== 'avoid'),
  ...[...document.querySelectorAll('h2, h3')].filter((title) => getComputedStyle(title).breakAfter !== 'avoid'),
].map((part) => part.textContent)"""
SMALLEST = """() => {
  const sizes = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const parent = walk.currentNode.parentElement;
    if (walk.currentNode.textContent.trim() && parent.checkVisibility()) {
      sizes.push([parseFloat(getComputedStyle(parent).fontSize), walk.currentNode.textContent.trim()]);
    }
  }
  return sizes.sort((a, b) => a[0] - b[0])[0];
}"""
FIGURES = """() => [...document.querySelectorAll('figure')].flatMap((figure) => {
  const files = [...figure.querySelectorAll('figcaption a')].map((a) => a.href).filter((a) => a.endsWith('.svg'));
  const images = [...figure.querySelectorAll('.view > img')].filter((image) => image.checkVisibility());
  const narrow = (image) => image.matches('.narrow') ? image.src : '';
  return images.map((image, k) => [files[k], image.getBoundingClientRect().width, narrow(image)]);
})"""  # the file, the width, and the drawing that a phone shows instead of the file
PIECES = """() => [...document.querySelectorAll('.pieces > div')].map((piece) => {  // of figures cut into panels
  const view = piece.closest('.view'), [width, , pieces] = JSON.parse(view.dataset.pieces);
  const [letter] = pieces[[...piece.parentElement.children].indexOf(piece)];
  const size = piece.querySelector('img').getBoundingClientRect().width / width;
  const box = piece.getBoundingClientRect(), frame = piece.parentElement.getBoundingClientRect();
  return { name: view.firstChild.alt, letter: letter * size,
    out: box.right > frame.right || view.scrollWidth > view.clientWidth + 1 || view.firstChild.checkVisibility() };
})"""
BLOCKS = "() => [...document.querySelectorAll('.blocks')].map((frame) => frame.previousElementSibling?.id)"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The reports of the committed results, written by the code of this checkout next to links to what they link to."""
    root = tmp_path_factory.mktemp("reports")
    for name in ("figures", "notebooks", "docs", "CITATION.cff"):
        (root / name).symlink_to(PROJECT / name)
    for profile in PROFILES:
        folder = root / "results" / profile
        folder.mkdir(parents=True)
        for path in (PROJECT / "results" / profile).iterdir():
            (folder / path.name).symlink_to(path)
        (folder / "report.html").unlink()
        results = Results.read(PROJECT / "results" / profile)
        (folder / "report.html").write_text(render(results, PROJECT / "figures" / profile), encoding="utf-8")
    return {profile: root / "results" / profile / "report.html" for profile in PROFILES}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def opened(browser: Browser, path: Path, width: int) -> tuple[Page, list[str]]:
    """The page at one width, with a list of what goes wrong: errors, warnings, requests."""
    page = browser.new_context(offline=True, viewport={"width": width, "height": 1000}).new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    page.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else wrong.append(asked.url))
    if width == PAPER:
        page.emulate_media(media="print")
    page.goto(path.as_uri())
    page.evaluate("Promise.all([...document.images].map((image) => image.decode()))")
    return page, wrong


def picture(page: Page, name: str) -> None:
    """Save a screenshot of the whole page in the folder $TOPOKD_SCREENSHOTS, if set, in parts of 4,000 pixels."""
    if not os.environ.get("TOPOKD_SCREENSHOTS"):
        return
    whole = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    for part, top in enumerate(range(0, whole.height, 4000)):
        box = (0, top, whole.width, min(top + 4000, whole.height))
        whole.crop(box).save(Path(os.environ["TOPOKD_SCREENSHOTS"]) / f"{name}-{part}.png")


@pytest.mark.parametrize("width", list(WIDTHS.values()), ids=list(WIDTHS))
@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_is_cut_off_and_all_text_is_legible(
    browser: Browser, reports: dict[str, Path], profile: str, width: int
) -> None:
    page, wrong = opened(browser, reports[profile], width)
    picture(page, f"report-{profile}-{width}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CUT, width not in (DESK, PAPER)) == []
    assert page.evaluate(HINTS) == []
    assert page.evaluate(SIDEWAYS, [f"table{number}" for number in range(1, 9)]) == []
    if width in (DESK, PAPER):
        assert page.evaluate(PIECES) == []  # what fits stays whole
    if width == DESK:
        assert page.evaluate(BLOCKS) == []  # what fits stays a table
        ends = page.evaluate(
            "[...document.querySelectorAll('.hero .view')].map((v) => v.getBoundingClientRect().bottom)"
        )
        assert len(ends) == 2 and max(ends) < 850  # the answer, the ablation and a scan on the first screen
    if width == PHONE:
        assert page.evaluate(IDLE_HINTS) == []
        assert set(page.evaluate(MOVED)) <= {*MOVING}
        assert page.evaluate(FIGURES)[0][2]  # the first figure, with its panels below one another
        assert page.evaluate(
            "document.querySelector('.view').scrollWidth <= document.querySelector('.view').clientWidth"
        )
        sentence = page.locator(".verdict").bounding_box()
        assert sentence is not None and sentence["y"] + sentence["height"] < 800  # on the first screen of a phone
        size, text = page.evaluate(SMALLEST)
        assert size >= 9, text
        figures = page.evaluate(FIGURES)
        pieces = page.evaluate(PIECES)
        assert len(figures) + len({piece["name"] for piece in pieces}) > 15 and len(pieces) > 40
        assert [piece for piece in pieces if piece["out"] or 0 < piece["letter"] < 8.99] == []
        shown = [(file_of(link), width, drawing(file_of(link), narrow)) for link, width, narrow in figures]
        small = {path.name: width * share for path, width, svg in shown if (share := smallest_lettering(svg))}
        assert {name: size for name, size in small.items() if size < 8.99} == {}
    if width == PAPER:
        size, text = page.evaluate(SMALLEST)
        assert size >= 7 * 96 / 72 - 0.01, text  # 7 points
        assert page.evaluate(TORN) == []
    if width == PAPER and profile == "default":
        assert len(page.pdf(prefer_css_page_size=True, print_background=True)) < 15e6
    assert wrong == []
    page.context.close()


def test_panels_below_one_another_are_those_of_the_picture(browser: Browser, reports: dict[str, Path]) -> None:
    """Each window of a cut figure shows its part of the file, and a wide window shows the whole figure again."""
    page, wrong = opened(browser, reports[PROFILES[0]], PHONE)
    figure = page.locator("figure", has=page.locator("a[href$='figure8.png']"))
    file = PROJECT / "figures" / PROFILES[0] / "topology" / "figure8.png"
    with Image.open(file) as image:
        whole = image.convert("L")
    windows, view = figure.locator(".pieces span"), figure.locator(".view")
    points, _, pieces = json.loads(view.get_attribute("data-pieces") or "")
    boxes = [box for _, *boxes in pieces for box in boxes]
    assert windows.count() == len(boxes) > 5
    for number, box in enumerate(boxes):
        shown = Image.open(io.BytesIO(windows.nth(number).screenshot())).convert("L")
        part = whole.crop(tuple(round(side * whole.width / points) for side in box))
        coarse = (max(2, shown.width // 8), max(2, shown.height // 8))  # letters are redrawn, a little elsewhere
        values = [np.asarray(one.resize(coarse, Image.Resampling.BOX), float).ravel() for one in (shown, part)]
        assert np.corrcoef(*values)[0, 1] > 0.6, number
    page.set_viewport_size({"width": DESK, "height": 1000})
    page.wait_for_function("() => !document.querySelector('.pieces')", timeout=60_000)
    assert view.locator("img").is_visible() and wrong == []
    page.context.close()


def test_a_text_that_is_cut_is_noticed(browser: Browser, reports: dict[str, Path]) -> None:
    page, _ = opened(browser, reports[PROFILES[0]], DESK)
    page.add_style_tag(content="#table8 + .scroll { width: 300px }")
    assert page.evaluate(CUT, False) and page.evaluate(HINTS)
    page.add_style_tag(content="h1 { white-space: nowrap; font-size: 60px; max-width: none }")
    assert page.evaluate("document.documentElement.scrollWidth") > DESK
    page.context.close()


def file_of(link: str) -> Path:
    return Path(urllib.parse.unquote(urllib.parse.urlsplit(link).path)).resolve()


def drawing(path: Path, narrow: str) -> io.BytesIO:
    """The SVG of a picture: its file, or the narrow variant in the page."""
    return io.BytesIO(base64.b64decode(narrow.partition(",")[2]) if narrow else path.read_bytes())


def test_tables_become_blocks_where_they_do_not_fit_and_tables_again_where_they_do(
    browser: Browser, reports: dict[str, Path]
) -> None:
    page, wrong = opened(browser, reports[PROFILES[0]], PHONE)
    assert {"table1", "table2", "table5", "table8"} <= set(page.evaluate(BLOCKS))
    cells = page.locator("#table2 + .scroll tbody tr").first.locator("td[data-label]")
    assert cells.first.evaluate("(cell) => getComputedStyle(cell, '::before').content") == '"mIoU"'
    page.set_viewport_size({"width": DESK, "height": 1000})
    page.wait_for_function("() => !document.querySelector('.blocks')", timeout=60_000)
    page.set_viewport_size({"width": 1280, "height": 1000})  # Table 2 fits if it is set closer
    page.wait_for_function("() => document.querySelector('#table2 + .close:not(.blocks)')", timeout=60_000)
    assert page.locator("#table2 + .scroll").evaluate("(frame) => frame.scrollWidth - frame.clientWidth") <= 1
    page.set_viewport_size({"width": PHONE, "height": 1000})
    page.wait_for_function("() => document.querySelector('#table2 + .blocks')", timeout=60_000)
    assert wrong == []
    page.context.close()


def legend(path: Path) -> dict[str, tuple[float, float]]:
    """Position of the marker of each legend entry of a drawing, as shares of width and height."""
    text = path.read_text(encoding="utf-8")
    width, height = map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)[0])
    inside = text[text.index('id="legend_1"') :]
    marks = re.findall(r'<use [^>]*?x="([\d.]+)" y="([\d.]+)" style="fill.*?<!-- (.*?) -->', inside, re.DOTALL)
    return {name: (float(x) / width, float(y) / height) for x, y, name in marks}


@pytest.mark.parametrize("figure", LEGENDS)
@pytest.mark.parametrize("profile", PROFILES)
def test_legends_show_the_colours_of_the_classes(
    browser: Browser, reports: dict[str, Path], profile: str, figure: str
) -> None:
    """Read back from the pixels of the rendered page, each legend has the data set's colours."""
    space = BENCHMARKS["semantickitti"].classes
    expected = dict(zip(space.class_names, space.palette, strict=True))
    page, _ = opened(browser, reports[profile], DESK)
    images = page.locator("figure img:not(.narrow)")
    number = [file_of(link).stem for link, *_ in page.evaluate(FIGURES)].index(figure)
    shown = np.asarray(Image.open(io.BytesIO(images.nth(number).screenshot())).convert("RGB"))
    marks = legend(
        PROJECT / "figures" / profile / ("data" if figure == "data_scan" else "evaluation") / f"{figure}.svg"
    )
    colours: dict[str, Any] = {
        name: tuple(shown[round(y * shown.shape[0]), round(x * shown.shape[1])].tolist())
        for name, (x, y) in marks.items()
        if name != "unlabelled"
    }
    assert len(colours) > 8
    # A picture that is shown smaller is resampled: a channel may be off by rounding, classes are far apart.
    assert {name: rgb for name, rgb in colours.items() if np.abs(np.subtract(rgb, expected[name])).max() > 3} == {}
    assert len(set(colours.values())) == len(colours)
    page.context.close()


@pytest.mark.parametrize("profile", PROFILES)
def test_no_link_is_dead(reports: dict[str, Path], profile: str) -> None:
    """Of the report and of the executed notebooks next to it: files and places in them."""
    dead = []
    for page in (reports[profile], *sorted((PROJECT / "results" / profile / "notebooks").glob("*.html"))):
        for link in re.findall(r'<a [^>]*?href="([^"]+)"', page.read_text(encoding="utf-8")):
            address = urllib.parse.urlsplit(link)
            if address.scheme in ("http", "https"):
                continue
            target = page.parent / urllib.parse.unquote(address.path) if address.path else page
            place = re.escape(urllib.parse.unquote(address.fragment))
            if not target.is_file() or (place and not re.search(rf'(id|name)="{place}"', target.read_text("utf-8"))):
                dead.append((page.name, link))
    assert dead == []
