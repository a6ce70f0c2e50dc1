"""The page that `topokd predict` writes, in a real browser without a network."""

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from tests.browser.chromium import CHROMIUM, FLAGS, NEEDS_CHROMIUM
from topokd.viz.export import write_view

pytestmark = [NEEDS_CHROMIUM, pytest.mark.timeout(120)]


def test_the_page_draws_offline_and_loads_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names, palette = ("road", "car <b>"), [(205, 100, 205), (52, 110, 235)]
    label = rng.integers(-1, 2, 400)
    write_view(tmp_path / "a.html", rng.normal(size=(400, 3)), label, names, palette, "a & <i>.bin", max_points=300)
    requests, errors = [], []
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(offline=True, viewport={"width": 900, "height": 700})
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((tmp_path / "a.html").as_uri())
        page.wait_for_selector("#cloud canvas", state="attached")
        page.wait_for_selector("#cloud .legendtext", state="attached")
        legend = page.locator("#cloud .legendtext").all_text_contents()
        heading = page.locator("#cloud .annotation-text").all_text_contents()
        size = page.locator("#cloud").bounding_box()
        assert page.title() == "a & <i>.bin"
        browser.close()
    assert errors == [] and [url for url in requests if not url.startswith(("file:", "blob:", "data:"))] == []
    assert legend[:2] == ["unlabelled", "road"] and legend[2].startswith("car")
    assert heading == ["a & <i>.bin, 300 of 400 points"]
    assert size is not None and size["height"] == 700
