"""The numbers in the README are those of the committed results, and its example runs."""

from __future__ import annotations

import re

from tests.conftest import PROJECT
from topokd.cli.plumbing import current_readme


def test_numbers_are_those_of_the_results():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert current_readme(text) == text, "run `topokd readme`"


def test_the_example_runs():
    code = re.search(r"```python\n(.*?)```", (PROJECT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert code
    names: dict = {}
    exec(code[1], names)
    assert names["loops"].shape[1] == 2
    assert names["student"].grad.abs().sum() > 0
