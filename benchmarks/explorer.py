"""How long the explorer takes to respond in Chromium and in JupyterLab: a step of the slider, the choice of a class.

python benchmarks/explorer.py          # needs playwright and Chromium; writes benchmarks/explorer.json and .md
python benchmarks/explorer.py --dry
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright
from report import Rows, keep, table

from tests.browser.chromium import CHROMIUM, FLAGS
from tests.browser.jupyter import jupyterlab, open_notebook
from tests.browser.timing import CHOICES, EVENTS, SLIDER_STEPS
from topokd.explore import write_page

TITLE = "Response of the explorer"
APP = "document.querySelector('.tk-explorer').explorer"
CENTRES = """(points) => {
  points[0].closest('svg').scrollIntoView({ block: 'center' });
  return points.map((one) => one.getBoundingClientRect()).map(({ x, y, width }) => [x + width / 2, y + width / 2]);
}"""
KINDS = {"shortest": min, "median": median, "longest": max}
NOTE = (
    "Median (shortest to longest). In a page: 20 steps and 12 choices, timed by the page's own script, with drawing "
    "finished. In JupyterLab: 15 arrow keys on the slider and 8 clicks into the diagram, from the event to the next "
    "picture on the screen, as the browser measures it (in steps of 8 ms). Without a GPU: SwiftShader draws on the "
    "processor, JupyterLab's whole window too."
)


def response(sizes: list[int]) -> Iterator[dict[str, Any]]:
    """By number of points: milliseconds of 20 steps of the slider and of 12 choices, shortest, median, longest."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for n in sizes:
            file = Path(folder) / f"{n}.html"
            write_page(file, "filtration", np.random.default_rng(0).normal(size=(n, 16)), num_points=n)
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            page.set_default_timeout(300_000)
            page.goto(file.as_uri())
            page.wait_for_selector(".tk-point", state="attached")
            page.wait_for_timeout(3000)
            steps, choices = page.evaluate(SLIDER_STEPS), page.evaluate(CHOICES)
            page.close()
            yield {
                "points": n, "edges": n * (n - 1) // 2, "page_mb": file.stat().st_size / 1e6,
                **{f"step_{name}": summary(steps) for name, summary in KINDS.items()},
                **{f"choice_{name}": summary(choices) for name, summary in KINDS.items()},
            }  # fmt: skip
        browser.close()


def in_jupyterlab(m: int) -> Iterator[dict[str, Any]]:
    """By notebook: milliseconds from a key on the slider, and from a click, to the next picture, at `m` points."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder, jupyterlab(Path(folder)) as lab:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for notebook in ("diagrams", "loss"):
            page = browser.new_page(viewport={"width": 1440, "height": 1400})
            page.set_default_timeout(300_000)
            open_notebook(page, lab, f"notebooks/explore/{notebook}.ipynb", [])
            page.wait_for_selector(".tk-point", state="attached")
            page.select_option(".tk-choosers select[name='points']", str(m))
            page.wait_for_selector(".tk-explorer[data-scene='2']")
            edges = page.evaluate(f"{APP}.store.get('scene').clouds.map((cloud) => cloud.lengths.length)")
            page.evaluate(f"{APP}.store.set({{ selected: {{ cloud: 0, dim: 1, index: 0 }} }})")  # asks for the cycles
            page.wait_for_function(f"{APP}.store.get('scene').clouds.every((cloud) => cloud.cycles)")
            page.locator(".tk-scale").click()
            page.wait_for_timeout(2000)
            page.evaluate(EVENTS)
            for _ in range(15):
                page.keyboard.press("ArrowRight")
                page.wait_for_timeout(300)
            keys = page.evaluate("window.events.splice(0)")
            points = page.locator(".tk-diagram circle.tk-point[data-dim='1']").evaluate_all(CENTRES)
            page.wait_for_timeout(1500)  # it may have scrolled
            for x, y in points[:: max(1, len(points) // 8)][:8]:
                page.mouse.click(x, y)
                page.wait_for_timeout(900)
            clicks = page.evaluate("window.events.splice(0)")
            page.close()
            step, choice = (
                [ms for name, ms in seen if name == of] for seen, of in ((keys, "keydown"), (clicks, "click"))
            )
            yield {
                "notebook": notebook, "points": m, "edges": sum(edges), "keys": len(step), "clicks": len(choice),
                **{f"step_{name}": summary(step) for name, summary in KINDS.items()},
                **{f"choice_{name}": summary(choice) for name, summary in KINDS.items()},
            }  # fmt: skip
        browser.close()


def timed(row: dict[str, Any], what: str) -> str:
    """Median, shortest and longest time."""
    return f"{row[f'{what}_median']:.0f} ({row[f'{what}_shortest']:.0f} to {row[f'{what}_longest']:.0f})"


def response_page(rows: Rows) -> list[str]:
    """The section of the page."""
    head = ["points in R^16", "edges", "page (MB)", "step of the slider (ms)", "choice of a class (ms)"]
    return [
        "## A step of the slider, and a choice",
        "",
        *table(
            head,
            [
                [
                    f"{r['points']:,}",
                    f"{r['edges']:,}",
                    f"{r['page_mb']:.1f}",
                    *(timed(r, k) for k in ("step", "choice")),
                ]
                for r in rows
            ],
        ),
    ]


def lab_page(rows: Rows) -> list[str]:
    """The section of the page."""
    head = ["notebook", "points", "edges", "step of the slider (ms)", "choice of a class (ms)"]
    lines = [
        [r["notebook"], f"{r['points']:,}", f"{r['edges']:,}", *(timed(r, k) for k in ("step", "choice"))] for r in rows
    ]
    return ["## In JupyterLab, by hand", "", *table(head, lines)]


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, nargs="+", default=[128, 512, 1024])
    parser.add_argument("--dry", action="store_true", help="print only")
    options = parser.parse_args()
    parts = {"response": response(options.points), "lab": in_jupyterlab(max(options.points))}
    keep(
        __file__, TITLE, parts, {"response": response_page, "lab": lab_page}, ["numpy", "playwright"], options.dry, NOTE
    )


if __name__ == "__main__":
    main()
