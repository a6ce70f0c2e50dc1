"""What YAML reads otherwise than it was meant."""

from __future__ import annotations

import pytest

from topokd.errors import ParameterError
from topokd.schema import Section, validate
from topokd.yaml_text import parse_yaml


@pytest.mark.parametrize(
    ("text", "line"), [("a: 1\nb: 2\na: 3", 3), ("t: {steps: 1, steps: 2}", 1), ("t: {x: 1}\nt: {y: 2}", 2)]
)
def test_a_name_that_is_given_twice_is_rejected(text: str, line: int) -> None:
    """The last one won in silence, and with it a whole section was lost."""
    with pytest.raises(ParameterError, match=f"mine.yaml is not valid YAML: line {line} gives .* a second time"):
        parse_yaml(text, "mine.yaml")


def test_merge_keys_may_be_overridden() -> None:
    assert parse_yaml("base: &b {x: 1, y: 2}\nown: {<<: *b, y: 3}", "a.yaml")["own"] == {"x": 1, "y": 3}


def test_numbers_are_those_of_yaml_1_2() -> None:
    """1:30 was 90 and 010 was 8; DVC, which reads the same files, takes them as YAML 1.2 does."""
    read = parse_yaml("[1:30, 010, 08, 12:00:00, 1:30.5, 7, -3, 0x1f, 1_000, 1.5, .inf, -.5, 0, true, 1.0e+3]", "a")
    assert read == [
        *("1:30", "010", "08", "12:00:00", "1:30.5"),
        *(7, -3, 31, 1000, 1.5, float("inf"), -0.5, 0, True, 1000.0),
    ]


@pytest.mark.parametrize("text", ["a: &a [*a]", "\n".join(f"x{k}: &x{k} [{f'*x{k - 1},' * 10}]" for k in range(1, 12))])
def test_aliases_that_stand_for_billions_of_entries_are_rejected(text: str) -> None:
    with pytest.raises(ParameterError, match=r"its aliases \(\*name\) stand for more than 1,000,000 entries"):
        parse_yaml(text.replace("*x0", "1"), "a.yaml")


def test_a_long_value_is_cut_in_the_message() -> None:
    class Sphere(Section):
        radius: float = 1.0

    with pytest.raises(ParameterError) as raised:
        validate(Sphere, {"radius": [list(range(1000))] * 1000})
    assert len(str(raised.value)) < 400
