"""How long the explorer takes to respond, in Chromium: a step of the slider, and the choice of a class.

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
from tests.browser.timing import CHOICES, SLIDER_STEPS
from topokd.explore import write_page

TITLE = "Response of the explorer"
KINDS = {"shortest": min, "median": median, "longest": max}
NOTE = (
    "Median (shortest to longest) of 20 steps and 12 choices, timed by the page's own script, with drawing finished, "
    "without a GPU: SwiftShader draws on the processor."
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


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, nargs="+", default=[128, 512, 1024])
    parser.add_argument("--dry", action="store_true", help="print only")
    options = parser.parse_args()
    parts = {"response": response(options.points)}
    keep(__file__, TITLE, parts, {"response": response_page}, ["numpy", "playwright"], options.dry, NOTE)


if __name__ == "__main__":
    main()
