"""The examples of docs/functions.md run, and the page has every function."""

from __future__ import annotations

import doctest
from pathlib import Path

from topokd.topology import functions

PAGE = Path(__file__).parents[3] / "docs" / "functions.md"


def test_the_examples_of_the_guide_run() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried > 15 and not failed


def test_the_guide_has_every_function() -> None:
    page = PAGE.read_text()
    assert [name for name in functions.__all__ if f"`{name}(" not in page] == []
