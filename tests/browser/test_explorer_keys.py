"""The explorers with the keyboard alone, and the view in a page's address."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from playwright.sync_api import Page

from tests.browser.chromium import NEEDS_CHROMIUM
from tests.browser.explorer_pages import APP, circle, longest, open_page
from topokd.explore import write_page

pytestmark = [NEEDS_CHROMIUM, pytest.mark.timeout(900)]


def test_keys_move_through_classes_and_a_link_keeps_the_view(page: Page, problems: list[str], tmp_path: Path):
    open_page(page, tmp_path / "page.html", "filtration", circle(60), 60)
    page.locator(".tk-explorer").focus()
    page.keyboard.press("n")
    first = page.evaluate(f"{APP}.store.get('selected')")
    assert first == {"cloud": 0, "dim": 1, "index": longest(page)}
    page.keyboard.press("n")
    assert page.evaluate(f"{APP}.store.get('selected')") != first
    page.keyboard.press("p")
    assert page.evaluate(f"{APP}.store.get('selected')") == first
    values = np.array(page.evaluate(f"Array.from({APP}.store.get('scene').clouds[0].pairs[1].values)"))
    birth, death = values.reshape(-1, 2)[first["index"]].tolist()
    page.evaluate(f"{APP}.store.set({{ epsilon: {birth + 1e-6} }})")
    page.keyboard.press("[")
    assert page.evaluate(f"{APP}.store.get('epsilon')") == pytest.approx(birth, rel=1e-9)
    slider = page.locator(".tk-scale")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert birth < page.evaluate(f"{APP}.store.get('epsilon')") < death
    page.locator(".tk-cloud canvas").focus()
    page.keyboard.press("+")
    page.wait_for_function("location.hash.length > 10")
    page.wait_for_timeout(600)
    view = page.evaluate(f"{APP}.state.read()")
    page.goto("about:blank")
    page.goto(f"{(tmp_path / 'page.html').as_uri()}#{page_hash(view)}")
    page.wait_for_selector(".tk-point", state="attached")
    assert page.evaluate(f"{APP}.state.read()") == view
    assert page.locator(".tk-chosen").count() == 1
    page.locator(".tk-explorer").focus()
    page.keyboard.press("Escape")
    assert page.evaluate(f"{APP}.store.get('selected')") is None


def playing(page: Page) -> bool:
    return bool(page.evaluate(f"Boolean({APP}.scale.timer)"))


def chosen(page: Page) -> Any:
    return page.evaluate(f"{APP}.store.get('selected')")


def test_keys_act_on_a_page_that_nobody_has_clicked(page: Page, problems: list[str], tmp_path: Path):
    open_page(page, tmp_path / "page.html", "filtration", circle(40), 40)
    assert page.evaluate("document.activeElement === document.body")
    page.keyboard.press("Space")
    assert playing(page)
    before = page.evaluate(f"{APP}.store.get('epsilon')")
    page.wait_for_function(f"{APP}.store.get('epsilon') !== {before}")
    page.keyboard.press("Space")
    assert not playing(page) and page.evaluate("scrollY") == 0
    page.keyboard.press("n")
    assert chosen(page) == {"cloud": 0, "dim": 1, "index": longest(page)}
    scale = page.evaluate(f"{APP}.store.get('epsilon')")
    page.keyboard.press("]")
    assert page.evaluate(f"{APP}.store.get('epsilon')") > scale
    page.keyboard.press("Control+p")  # the browser's own
    assert chosen(page) == {"cloud": 0, "dim": 1, "index": longest(page)}
    page.keyboard.press("Escape")
    assert chosen(page) is None


def test_keys_act_while_a_control_has_the_focus_and_it_keeps_its_own(page: Page, problems: list[str], tmp_path: Path):
    open_page(page, tmp_path / "page.html", "filtration", circle(40), 40)
    box = page.locator(".tk-switch input").first
    for focus in (box, page.locator(".tk-scale"), page.get_by_role("button", name="SVG", exact=True)):
        page.evaluate(f"{APP}.store.set({{ selected: null }})")
        focus.focus()
        page.keyboard.press("n")
        assert chosen(page) is not None
    box.focus()
    page.keyboard.press("Space")
    assert not box.is_checked() and not playing(page)
    play = page.locator("button[title='play the filtration']")
    play.focus()
    page.keyboard.press("Space")  # presses the button once, and does not play and stop at once
    assert playing(page)
    page.keyboard.press("Space")
    assert not playing(page)
    slider = page.locator(".tk-scale")
    slider.focus()
    value = int(slider.input_value())
    page.keyboard.press("ArrowRight")
    assert int(slider.input_value()) == value + 1
    page.keyboard.press("Space")
    assert playing(page)
    page.keyboard.press("Space")


def test_keys_in_a_menu_and_in_a_field(page: Page, problems: list[str], tmp_path: Path):
    """A menu keeps its arrows and focus; where text is entered all keys are the field's."""
    open_page(page, tmp_path / "page.html", "filtration", circle(40), 40)
    menu = [{"name": "engine", "label": "engine", "value": "auto", "options": ["auto", "none", "other"]}]
    page.evaluate(f"(menu) => {{ {APP}.model.set('choosers', menu) }}", menu)
    select = page.locator("select[name='engine']")
    select.focus()
    page.keyboard.press("n")
    assert chosen(page) is not None and select.input_value() == '"auto"'
    page.evaluate(f"(() => {{ {APP}.model.send = () => {{}} }})()")
    page.keyboard.press("ArrowDown")
    assert select.input_value() == '"none"'
    page.evaluate(f"(menu) => {{ {APP}.model.set('choosers', menu) }}", menu)  # as a kernel answers
    assert page.evaluate("document.activeElement.name") == "engine"
    page.evaluate(f"{APP}.store.set({{ selected: null }})")
    fields = '<input type="number"><textarea></textarea><p contenteditable="true">text</p>'
    page.evaluate(
        f"(fields) => {APP}.element.insertAdjacentHTML('beforeend', `<div id=\"fields\">${{fields}}</div>`)", fields
    )
    for field in page.locator("#fields > *").all():
        field.focus()
        for key in ("n", "Space", "]"):
            page.keyboard.press(key)
        assert chosen(page) is None and not playing(page)


def test_in_a_notebook_keys_act_inside_the_explorer_only(page: Page, problems: list[str], tmp_path: Path):
    """Elsewhere they are the notebook's, which has single keys of its own."""
    write_page(tmp_path / "page.html", "filtration", circle(40), num_points=40)
    text = (tmp_path / "page.html").read_text()
    assert text.count("this.isPage = true;") == 1
    (tmp_path / "page.html").write_text(text.replace("this.isPage = true;", "this.isPage = false;"))
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector(".tk-point", state="attached")
    page.evaluate("document.addEventListener('keydown', ({ key }) => (window.keys = [...(window.keys ?? []), key]))")
    page.keyboard.press("n")
    assert chosen(page) is None and page.evaluate("window.keys") == ["n"]
    page.locator(".tk-switch input").first.focus()
    page.keyboard.press("n")
    assert chosen(page) is not None and page.evaluate("window.keys") == ["n"]


def page_hash(view: dict[str, Any]) -> str:
    return quote(json.dumps(view, separators=(",", ":")))
