"""Fixtures shared by all tests, and the kind of each test: see `markers` in pyproject.toml."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jaxtyping
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # one worker per core: more threads than that would only wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests start hundreds of Python processes. Where the environment forbids compiled modules, as many containers do, each
# of them would compile the package again, for 3 s.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

PROJECT = Path(__file__).resolve().parents[1]
# The kinds in the order in which they start: the longest first, so that no worker is left alone with one at the end.
KINDS = ("cluster", "pipeline", "package", "browser", "long", "unit")


def kind_of(item: pytest.Item) -> str:
    """The kind of a test: its mark, otherwise the name of its folder if that is a kind, otherwise `unit`.

    >>> KINDS.index("pipeline") < KINDS.index("unit")
    True
    """
    marked = [kind for kind in KINDS if item.get_closest_marker(kind)]
    folders = [kind for kind in ("cluster", "browser") if kind in item.path.parts]
    return (marked + folders + ["unit"])[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test with its kind, and start with the longest."""
    kinds = {item: kind_of(item) for item in items}
    for item, kind in kinds.items():
        item.add_marker(kind)
    items.sort(key=lambda item: KINDS.index(kinds[item]))


@pytest.fixture(autouse=True)
def check_signatures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Off for tests marked `invalid_arguments`, which test the message of the package, not of the checker."""
    if request.node.get_closest_marker("invalid_arguments") is None:
        yield
        return
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def edit_source(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    """Adds a line to a module of topokd, for the digests of sources alone: in a copy of the package."""
    from topokd import io  # not at the top: signatures of modules that are imported so early are not checked

    copy = tmp_path_factory.mktemp("sources") / "topokd"
    shutil.copytree(io.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(io, "PACKAGE", copy)

    def edit(module: str) -> None:
        with (copy / module).open("a", encoding="utf-8") as stream:
            stream.write("# another version\n")
        io.source_digest.cache_clear()

    yield edit
    io.source_digest.cache_clear()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real scans and reference numbers next to the project; without it the test is skipped."""
    folder = Path(os.environ.get("TOPOKD_SHARED", PROJECT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(
            "no ../shared next to the project (real scans and reference numbers); set TOPOKD_SHARED to its folder"
        )
    return folder


@pytest.fixture(scope="session")
def real_scans(shared: Path) -> Path:
    """Root of the 34 real SemanticKITTI scans."""
    return shared / "data" / "semantickitti-mini"
