"""JupyterLab in a real browser: the exploration notebook runs by hand, and a click on a diagram shows the class."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, TimeoutError, sync_playwright

from tests.browser.chromium import CHROMIUM, FLAGS, NEEDS_CHROMIUM
from tests.conftest import PROJECT

pytestmark = [NEEDS_CHROMIUM, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a JupyterLab on a copy of the notebooks; its settings disable the news prompt."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(PROJECT / "notebooks", folder / "notebooks")
    shutil.copy(PROJECT / "pyproject.toml", folder)
    settings = folder / "app-settings"
    settings.mkdir()
    (settings / "overrides.json").write_text(
        json.dumps({"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}})
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    options = [
        "--IdentityProvider.token=",
        "--expose-app-in-browser",
        f"--LabApp.app_settings_dir={settings}",
        f"--notebook-dir={folder}",
    ]
    environment = {**os.environ, "TOPOKD_ROOT": str(PROJECT), "JUPYTER_CONFIG_DIR": str(folder / "config")}
    log = (folder / "lab.log").open("wb")
    server = subprocess.Popen([*command, *options], cwd=folder, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=2).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        else:
            pytest.fail((folder / "lab.log").read_text()[-3000:])
        yield address
    finally:
        server.terminate()
        server.wait(20)


def picture(page: Page, name: str) -> None:
    """Save a screenshot in the folder $TOPOKD_SCREENSHOTS, if set."""
    if os.environ.get("TOPOKD_SCREENSHOTS"):
        page.wait_for_timeout(1500)
        page.screenshot(path=str(Path(os.environ["TOPOKD_SCREENSHOTS"]) / name))


def test_a_click_on_the_diagram_shows_the_class(lab: str):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1300})
        page.goto(f"{lab}/lab/tree/notebooks/explore/diagrams.ipynb")
        page.wait_for_function("window.jupyterapp && window.jupyterapp.commands", timeout=90_000)
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=90_000)
        page.wait_for_function(
            "window.jupyterapp.shell.currentWidget?.context?.sessionContext?.session?.kernel?.status === 'idle'",
            timeout=90_000,
        )
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        try:
            page.wait_for_selector(".js-plotly-plot .point", timeout=120_000)
        except TimeoutError:
            picture(page, "explorer-failed.png")
            raise
        plots = page.locator(".js-plotly-plot")
        assert plots.count() == 2
        loops = plots.nth(1).locator(".trace.scatter").nth(2).locator(".point")  # diagonal, H0, H1
        loops.first.wait_for(timeout=30_000)
        highest = min((loops.nth(k) for k in range(loops.count())), key=lambda point: point.bounding_box()["y"])
        highest.scroll_into_view_if_needed()
        box = highest.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_timeout(500)
        page.mouse.down()
        page.mouse.up()
        words = page.get_by_text(re.compile(r"^H1, born at [\d.]+, ended at [\d.]+"))
        words.wait_for(timeout=30_000)
        picture(page, "explorer.png")
        persistence = float(re.search(r"persistence ([\d.]+)", words.inner_text())[1])
        assert persistence > 0.5  # the circle's own loop is the highest class
        assert page.locator(".jp-RenderedText[data-mime-type*='error']").count() == 0
        browser.close()
