"""JupyterLab in a real browser: every explorer runs by hand, and slider, choice, file and step are answered."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, TimeoutError, sync_playwright

from tests.browser.chromium import CHROMIUM, FLAGS, NEEDS_CHROMIUM
from tests.browser.jupyter import PATIENCE, jupyterlab, open_notebook

pytestmark = [NEEDS_CHROMIUM, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with jupyterlab(tmp_path_factory.mktemp("lab")) as address:
        yield address


def picture(page: Page, name: str) -> None:
    """Save a screenshot in the folder $TOPOKD_SCREENSHOTS, if set."""
    if os.environ.get("TOPOKD_SCREENSHOTS"):
        page.wait_for_timeout(1500)
        page.screenshot(path=str(Path(os.environ["TOPOKD_SCREENSHOTS"]) / name))


APP = "document.querySelector('.tk-explorer').explorer"


@pytest.mark.parametrize("notebook", ["diagrams", "loss", "scene"])
def test_every_explorer_runs_and_answers(lab: str, notebook: str):
    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1400})
        open_notebook(page, lab, f"notebooks/explore/{notebook}.ipynb", problems)
        try:
            page.wait_for_selector(".tk-point", timeout=PATIENCE, state="attached")
        except TimeoutError:
            picture(page, f"lab-{notebook}-failed.png")
            raise
        page.locator(".tk-explorer").scroll_into_view_if_needed()
        page.wait_for_timeout(1500)
        cloud = page.locator(".tk-cloud canvas").first
        before = cloud.screenshot()
        page.evaluate(
            """() => {
              const slider = document.querySelector('.tk-scale');
              slider.value = 700;
              slider.dispatchEvent(new Event('input'));
            }"""
        )
        page.wait_for_timeout(1500)
        after = cloud.screenshot()
        assert after != before
        slider = page.locator(".tk-scale")
        slider.click()  # an arrow key moves it, and is not taken for JupyterLab's own
        value = int(slider.input_value())
        page.keyboard.press("ArrowRight")
        page.wait_for_function(f"document.querySelector('.tk-scale').value === '{value + 1}'", timeout=10_000)
        page.locator(".tk-switch input").first.focus()
        page.keyboard.press("n")
        page.wait_for_function(f"{APP}.store.get('selected') !== null", timeout=10_000)
        page.keyboard.press("Escape")
        page.wait_for_function(f"{APP}.store.get('selected') === null", timeout=10_000)
        page.locator(".jp-InputPrompt:visible").first.click()  # keys of a cell are the notebook's
        page.keyboard.press("n")
        page.wait_for_timeout(300)
        assert page.evaluate(f"{APP}.store.get('selected')") is None
        page.evaluate(f"{APP}.store.set({{ selected: {{ cloud: 0, dim: 1, index: 0 }} }})")
        page.wait_for_timeout(1500)
        assert cloud.screenshot() != after
        assert page.locator(".tk-chosen").count() == 1
        assert re.search(r"H1 #0, born at [\d.]+ with edge", page.locator(".tk-info").inner_text())
        picture(page, f"lab-{notebook}.png")
        if notebook == "diagrams":
            assert page.locator(".tk-chosen-bar").count() == 1
            page.select_option(".tk-choosers select[name='source']", '"torus"')
            page.wait_for_selector(".tk-explorer[data-scene='2']", timeout=PATIENCE)
            assert "torus" in page.locator(".tk-cloud h3").inner_text()
            page.set_input_files("input[type='file']", files=[own_file()])
            page.wait_for_selector(".tk-explorer[data-scene='3']", timeout=PATIENCE)
            assert "mine.npy: 50 points" in page.locator(".tk-cloud h3").inner_text()
            page.evaluate(f"{APP}.store.set({{ epsilon: 1.5 }})")  # the kernel learns the view of the explorer
            page.wait_for_function(f"({APP}.model.get('view') || {{}}).epsilon === 1.5")
        if notebook == "loss":
            value = float(page.locator(".tk-total td").last.inner_text())
            page.click(".tk-step")
            page.wait_for_selector(".tk-explorer[data-step='1']", timeout=PATIENCE)
            assert float(page.locator(".tk-total td").last.inner_text()) != value
        assert page.locator(".jp-RenderedText[data-mime-type*='error'], .tk-failed").count() == 0
        browser.close()
    assert problems == []


def own_file() -> dict[str, object]:
    """An array as a file to upload."""
    content = io.BytesIO()
    np.save(content, np.random.default_rng(0).normal(size=(50, 6)))
    return {"name": "mine.npy", "mimeType": "application/octet-stream", "buffer": content.getvalue()}
