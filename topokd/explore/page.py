"""Explorers as pages for readers without a kernel: one HTML file each, which opens offline."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from topokd.explore.files import check_pair, read_points
from topokd.explore.frontend import module, style
from topokd.explore.networks import Say, silent
from topokd.explore.packing import pack, quantize, to_text
from topokd.explore.session import Kind, Session
from topokd.io import write_text
from topokd.topology import ENGINES

PAGES: dict[Kind, str] = {
    "filtration": "explore-filtration.html",
    "loss": "explore-loss.html",
    "scene": "explore-scene.html",
}
"""File names of the pages of a project, by kind of explorer."""

TITLES: dict[Kind, str] = {
    "filtration": "Filtration player",
    "loss": "The topological loss, point by point",
    "scene": "A scan and the topology of its features",
}
STEPS = 8  # gradient steps in a page of the loss; the default profile's has 2.0 MB with 8, 2.2 MB with 10
STEP = 0.03  # of the cloud's size, see `Session.step`


def write_page(
    path: str | Path,
    kind: Kind = "filtration",
    points: Any = None,
    *,
    num_points: int = 192,
    max_dim: int = 1,
    **reading: Any,
) -> None:
    """Write one explorer as a self-contained page.

    What needs a kernel (choosers, own files) is left out; the page of a loss holds a few gradient steps.

    Args:
        path: the file.
        kind: "filtration", "loss" or "scene".
        points: (n, c) or a file, for "filtration" and "scene"; (student, teacher) for "loss"; None for what the project
            has.
        num_points: M.
        max_dim: highest degree.
        reading: how files are read, see `read_points`.

    Raises:
        DataError: for points that cannot be read.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> path = Path(tempfile.mkdtemp()) / "mine.html"
        >>> write_page(path, points=np.random.default_rng(0).normal(size=(30, 3)))
        >>> "https://" in path.read_text()
        False
    """
    own: dict[str, Any] = {}
    if isinstance(points, tuple):
        student, teacher = points
        own = {
            "own features": check_pair(
                read_points(student, "student", **reading), read_points(teacher, "teacher", **reading)
            )
        }
    elif points is not None:
        own = {Path(points).name if isinstance(points, str | Path) else "own points": read_points(points, **reading)}
    _write(path, Session(kind, own, points=num_points, max_dim=max_dim, all_cycles=True), TITLES[kind])


def write_pages(
    folder: str | Path,
    profile: str | None = None,
    *,
    num_points: int = 192,
    real_scans: str | Path | None = None,
    say: Say = silent,
) -> list[Path]:
    """Write the three explorers of a project, with its trained networks where there are some.

    Args:
        folder: folder for the files of `PAGES`.
        profile: whose scans and networks are shown; None takes the first with trained networks.
        num_points: M.
        real_scans: folder for the pages that contain the points of a real scan; None: ``folder``.
        say: receives messages on the progress.

    Returns:
        The files.
    """
    written = []
    for kind, name in PAGES.items():
        degree = 2 if kind == "filtration" and degree_two() else 1
        options: dict[str, Any] = {"points": num_points, "max_dim": degree, "all_cycles": True}
        session = Session(kind, profile=profile, say=say, **options)
        shown = ["torus", "circle", "figure eight", "clusters", "sphere"] if kind == "filtration" else []
        path = Path(real_scans if real_scans is not None and session.shows_real_scan() else folder) / name
        _write(path, session, TITLES[kind], shown)
        written.append(path)
    return written


def degree_two() -> bool:
    """Whether an engine for degree 2 is installed."""
    return any(engine.max_dim >= 2 for engine in ENGINES.values())


def _write(path: str | Path, session: Session, title: str, sources: Sequence[str] = ()) -> None:
    scenes = {}
    for source in sources or [session.choice.source]:
        session.choose(source=source)
        scenes[source] = session.scene()
    changes = [] if session.steps is None else [session.step(STEP) for _ in range(STEPS)]
    content = to_text(pack(quantize({"scenes": scenes, "changes": changes, "step": STEP})))
    write_text(
        path,
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<style>body { margin: 0 auto; max-width: 1500px; padding: 8px; background: #fff }\n"
        f"{style()}</style></head>\n"
        f'<body>\n<div id="explorer"></div>\n<script id="content" type="text/plain">{content}</script>\n'
        f'<script type="module">\n{module()}\nshowPage(document.getElementById("explorer"), {title!r});\n</script>\n'
        "</body>\n</html>\n",
    )
