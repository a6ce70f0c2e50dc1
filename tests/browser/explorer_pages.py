"""Opening a page of an explorer, and asking what it shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page

from topokd.explore import write_page

APP = "document.querySelector('.tk-explorer').explorer"
READY = "[...document.querySelectorAll('.tk-view')].every((view) => view.dataset.ready === 'true')"


def open_page(page: Page, path: Path, kind: str, points: Any, num_points: int) -> None:
    write_page(path, kind, points, num_points=num_points)  # type: ignore[arg-type]
    page.goto(path.as_uri())
    page.wait_for_selector(".tk-point", state="attached")


def middle(page: Page, selector: str) -> tuple[float, float]:
    box = page.locator(selector).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def longest(page: Page, cloud: int = 0) -> int:
    """Index of the most persistent loop."""
    values = f"{APP}.store.get('scene').clouds[{cloud}].pairs[1].values"
    pairs = np.array(page.evaluate(f"Array.from({values})")).reshape(-1, 2)
    return int((pairs[:, 1] - pairs[:, 0]).argmax())


def circle(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.04, (n, 2))
