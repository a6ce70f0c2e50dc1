"""The examples of docs/topology.md and docs/functions.md run, and the latter has every function."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from topokd.topology import functions

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(("page", "examples"), [("topology.md", 10), ("functions.md", 16)])
def test_the_examples_of_the_guides_run(page: str, examples: int) -> None:
    failed, tried = doctest.testfile(str(DOCS / page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert tried >= examples and not failed


def test_the_guide_has_every_function() -> None:
    page = (DOCS / "functions.md").read_text()
    assert [name for name in functions.__all__ if f"`{name}(" not in page] == []
