"""The printed report: its pages are full, its letters legible, and nothing is lost between page and paper."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chromium import CHROMIUM, FLAGS, NEEDS_CHROMIUM
from tests.conftest import PROJECT
from topokd.paper.pdf import write_pdf
from topokd.paper.report import render
from topokd.paper.results import Results

pytestmark = [NEEDS_CHROMIUM, pytest.mark.timeout(900)]

PROFILES = sorted(path.parent.name for path in (PROJECT / "results").glob("*/report.html"))
NEEDS_PDFTOPPM = pytest.mark.skipif(
    shutil.which("pdftoppm") is None, reason="no pdftoppm (Debian: apt-get install poppler-utils)"
)
DPI, MARGIN_MM, HEIGHT_MM = 40, 9, 210
FULL = 0.72  # of a page, but for the last: about a quarter may be empty
FEW, HEIGHT = 80, 725  # CSS pixels: of less than about five lines, of a page
POINTS = 7 * 96 / 72  # CSS pixels of the smallest letter
LETTERS = """() => {  // of text, and of figures: the width for 9 CSS pixels is in --width
  const sizes = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const parent = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !parent.checkVisibility()) continue;
    sizes.push([parseFloat(getComputedStyle(parent).fontSize), walk.currentNode.textContent.trim()]);
  }
  for (const image of document.images) {
    if (!image.checkVisibility()) continue;  // of a figure that a phone shows differently
    const readable = parseFloat(image.style.getPropertyValue('--width'));
    sizes.push([9 * image.getBoundingClientRect().width / readable, image.alt]);
  }
  return sizes;
}"""
PAGES = """() => [...document.querySelectorAll('.page')].map((page) => {
  const elements = [...page.children], heading = (element) => element.matches('h1, h2, h3');
  return {
    last: heading(elements[elements.length - 1]),
    headless: [...page.querySelectorAll('table, ul')].filter((whole) => !whole.querySelector('tbody tr, li')).length,
    lines: [...page.querySelectorAll('tbody')].map((body) => body.rows.length),
    wide: Math.max(...[...page.querySelectorAll('*')].map((part) => part.getBoundingClientRect().right)),
  };
})"""
PRINTING = "dispatchEvent(new Event('beforeprint'))"
SHOWN = """() => [document.documentElement.scrollHeight, scrollY, document.querySelector('main').innerText,
  document.querySelectorAll('.pages').length, document.querySelectorAll('nav a').length]"""
TORN = """() => [...document.querySelectorAll('.page')].flatMap((page, place, all) => {  // tables whose lines go on
  const tables = [...page.querySelectorAll('table')], last = tables[tables.length - 1];
  const next = all[place + 1]?.querySelector('table'), head = (table) => table.tHead.innerText;
  if (!last || !next || last.closest('.half') || head(last) !== head(next)) return [];
  const scroll = next.closest('.scroll'), above = scroll.previousElementSibling;
  return [{ name: above?.innerText, first: !above || (above.matches('.continued') && !above.previousElementSibling) }];
})"""
EXHIBITS = """() => {  // heading of the section, title and caption or name of all exhibits, as the reader meets them
  let section = '', title = '';
  return [...document.querySelectorAll('main *, .page *')].filter((one) => one.checkVisibility()).flatMap((one) => {
    if (one.matches('h2')) [section, title] = [one.textContent, ''];
    if (one.matches('h3, .continued')) title = one.textContent.replace(/, continued$/, '').split('. ')[0];
    return one.matches('h3, figcaption, .under, .absent') ? [[section, title, one.textContent]] : [];
  });
}"""
DATA = """() => [...document.querySelectorAll('.sources')].filter((one) => one.checkVisibility())
  .map((one) => one.innerText.replace(/\\s+/g, ' ').trim())"""
CONTENT = """() => {  // what is shown: pictures, titles, captions, lines of tables and lists
  const shown = [...document.querySelectorAll('main *, .page *')].filter((element) => element.checkVisibility());
  const kept = shown.filter((element) => element.matches('h1, h2, h3, p, figcaption, img, tbody tr, li, .card'));
  return kept.map((element) => element.alt ?? element.textContent.replace(/\\s+/g, ' ').trim());
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=PROFILES)
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the committed results, written by the code of this checkout."""
    path = tmp_path_factory.mktemp(request.param) / "report.html"
    results = Results.read(PROJECT / "results" / request.param)
    path.write_text(render(results, PROJECT / "figures" / request.param), encoding="utf-8")
    return path


def opened(browser: Browser, path: Path, width: int = 1440) -> tuple[Page, list[str]]:
    page = browser.new_context(offline=True, viewport={"width": width, "height": 1000}).new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    page.set_default_timeout(120_000)  # on a machine that trains
    page.goto(path.as_uri())
    return page, wrong


@NEEDS_PDFTOPPM
def test_the_pages_of_the_pdf_are_full(report: Path, tmp_path: Path) -> None:
    """Measured in the printed file: at most two pages but the last are more than about a quarter empty."""
    printed = write_pdf(report)
    assert printed.stat().st_size < 15e6
    subprocess.run(["pdftoppm", "-r", str(DPI), "-gray", printed, tmp_path / "page"], check=True)
    filled = []
    for file in sorted(tmp_path.glob("page-*.pgm")):
        rows = np.flatnonzero((np.asarray(Image.open(file)) < 250).any(axis=1))
        inside = (rows.max() / DPI * 25.4 - MARGIN_MM) / (HEIGHT_MM - 2 * MARGIN_MM)
        filled.append(round(float(inside), 2))
    assert len(filled) > 10
    loose = [share for share in filled[:-1] if share < FULL]
    assert len(loose) <= 2 and all(share > 0.6 for share in loose), filled  # exhibits stay in their sections


def test_letters_headings_and_tables_on_paper(browser: Browser, report: Path) -> None:
    page, wrong = opened(browser, report)
    page.emulate_media(media="print")
    page.evaluate(PRINTING)
    pages: list[dict[str, Any]] = page.evaluate(PAGES)
    small = {text[:40]: size for size, text in page.evaluate(LETTERS) if size < POINTS - 0.02}
    assert small == {}
    assert not any(one["last"] for one in pages)  # a heading at the end of a page
    assert not any(one["headless"] for one in pages)  # the heading of a table without a line
    assert max(one["wide"] for one in pages) <= 1033
    printed = page.pdf(prefer_css_page_size=True, print_background=True)
    assert len(re.findall(rb"/Type /Page\b(?!s)", printed)) == len(pages)  # no page runs over
    assert wrong == []
    page.context.close()


def test_a_few_lines_have_no_page_of_their_own_at_the_end(browser: Browser, report: Path) -> None:
    heights = "() => [...document.querySelectorAll('.page')].map((page) => page.offsetHeight)"
    add = """([room, words]) => {  // what fills the last page but for a line, and three lines more
      const add = (text, height) => Object.assign(document.createElement('p'), { textContent: text, style: height });
      document.querySelector('details').before(add('', `height: ${room}px; margin: 0`), add(words, ''));
    }"""
    shorten = (
        "() => document.querySelectorAll('.colophon').forEach((line) => line.remove())"  # leaves room on that page
    )
    page, _ = opened(browser, report)
    page.emulate_media(media="print")
    page.evaluate(shorten)
    page.evaluate(PRINTING)
    before: list[int] = page.evaluate(heights)
    assert before[-1] >= FEW and page.locator(".tight").count() == 0
    page.reload()
    page.evaluate(shorten)
    page.evaluate(add, [max(HEIGHT - 8 - before[-1], 0), "More lines at the end of the report. " * 12])
    page.evaluate(PRINTING)
    after: list[int] = page.evaluate(heights)
    assert len(after) == len(before) and max(after) <= HEIGHT
    assert page.locator(".tight").count() == 1
    page.context.close()


def test_nothing_is_lost_on_the_way_to_paper(browser: Browser, report: Path) -> None:
    page, _ = opened(browser, report)
    page.emulate_media(media="print")
    before = Counter(page.evaluate(CONTENT))
    page.evaluate(PRINTING)
    after = Counter(page.evaluate(CONTENT))
    page.context.close()
    assert before == after
    assert before.total() > 300


def test_sections_come_in_their_order_on_paper(browser: Browser, report: Path) -> None:
    page, _ = opened(browser, report)
    titles = "() => [...document.querySelectorAll('h2')].map((title) => title.textContent)"
    before = page.evaluate(titles)
    page.evaluate(PRINTING)
    assert page.evaluate(titles) == before and len(before) > 8
    page.context.close()


def test_exhibits_stay_below_the_heading_of_their_section(browser: Browser, report: Path) -> None:
    """They may come in another order, but each with its section, and captions with their titles."""
    page, _ = opened(browser, report)
    page.emulate_media(media="print")
    before = Counter(map(tuple, page.evaluate(EXHIBITS)))
    page.evaluate(PRINTING)
    after = Counter(map(tuple, page.evaluate(EXHIBITS)))
    page.context.close()
    assert after == before
    sections = {section for section, _, _ in before}
    assert len(sections) > 8 and before.total() > 80


@NEEDS_PDFTOPPM
def test_the_data_of_the_exhibits_are_printed_without_links_to_files(
    browser: Browser, report: Path, tmp_path: Path
) -> None:
    page, _ = opened(browser, report)
    shown: list[str] = page.evaluate(DATA)
    page.emulate_media(media="print")
    page.evaluate(PRINTING)
    named: list[str] = page.evaluate(DATA)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    page.context.close()
    assert len(named) == len(shown) > 30
    assert Counter(text.split(" · ")[0] for text in shown) == Counter(named)
    assert all(re.fullmatch(r"Data: [^·]+\.", text) for text in named)
    subprocess.run(["pdftotext", tmp_path / "report.pdf", tmp_path / "report.txt"], check=True)
    text = (tmp_path / "report.txt").read_text(encoding="utf-8")
    assert len(re.findall(r"\bData:", text)) == len(named)
    assert "notebook’s source" not in text and "SVG" not in text


def test_the_pictures_of_one_exhibit_stand_together(browser: Browser, report: Path) -> None:
    pairs = """() => [...document.querySelectorAll('.page .exhibit')].filter((one) => !one.querySelector('h3'))
      .map((one) => [one.previousElementSibling?.matches('.exhibit') || one.querySelector('.continued') !== null,
        one.querySelector('figcaption').textContent])"""
    page, _ = opened(browser, report)
    page.evaluate(PRINTING)
    found: list[tuple[bool, str]] = page.evaluate(pairs)
    page.context.close()
    assert len(found) > 1
    assert all(together and text.startswith("The same for") for together, text in found)


def test_a_torn_table_goes_on_at_the_top_of_the_next_page_under_its_name(browser: Browser, report: Path) -> None:
    page, _ = opened(browser, report)
    page.evaluate(PRINTING)
    torn: list[Any] = page.evaluate(TORN)
    page.context.close()
    assert len(torn) > 3
    assert [one for one in torn if not one["first"]] == []
    assert "Table 2, continued" in [one["name"] for one in torn]


@pytest.mark.parametrize("width", [1440, 390])
def test_after_printing_a_reader_has_the_page_of_before(browser: Browser, report: Path, width: int) -> None:
    """Printed by the reader's browser, at any width of the window, the pages are those of the PDF."""
    page, wrong = opened(browser, report, width)
    page.evaluate("scrollTo({ top: 5000, behavior: 'instant' })")
    before = page.evaluate(SHOWN)
    printed = page.pdf(prefer_css_page_size=True, print_background=True)
    assert page.evaluate(SHOWN) == before
    assert before[1] == 5000
    page.evaluate(PRINTING)
    assert len(re.findall(rb"/Type /Page\b(?!s)", printed)) == page.locator(".page").count() > 10
    assert wrong == []
    page.context.close()


def test_the_contents_mark_what_is_read(browser: Browser, report: Path) -> None:
    page, _ = opened(browser, report)
    assert not page.locator(".up").is_visible()  # it would cover text at the top
    for place in ("table5", "verdicts", "figure8"):
        page.evaluate(
            "(id) => scrollTo({ top: document.getElementById(id).offsetTop - 50, behavior: 'instant' })", place
        )
        page.wait_for_function(f"document.querySelector('nav [aria-current]')?.hash === '#{place}'", timeout=5000)
        box = page.locator("nav [aria-current]").bounding_box()
        assert box is not None and 0 <= box["y"] < 1000  # in sight
    assert page.locator(".up").is_visible()
    page.context.close()
