"""YAML files as plain mappings, lists, text, numbers and dates, with an error for what is easily meant otherwise."""

from __future__ import annotations

import math
import re
import typing
from typing import Any

import yaml

from topokd.errors import ParameterError

MOST_ENTRIES = 1_000_000
"""Of a YAML file, with its aliases written out."""
_NUMBERS = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$"),
    "tag:yaml.org,2002:float": re.compile(
        r"[-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?$|[-+]?\.[0-9][0-9_]*([eE][-+][0-9]+)?$"
        r"|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
    ),
}
"""What is a number without quotes."""


def parse_yaml(text: str | bytes, where: str) -> Any:
    """The content of a YAML text: plain mappings, lists, text, numbers and dates.

    As in YAML 1.2, which DVC reads too, 1:30 and 010 are text, not 90 and 8. A name that is given twice is an error;
    the last one would win, in silence.

    Args:
        text: as it is in the file.
        where: begins the message.

    Raises:
        ParameterError: it is not YAML, or not text; also for a date or number that does not exist.

    Examples:
        >>> parse_yaml("a: [1, 2]", "a.yaml")
        {'a': [1, 2]}
        >>> parse_yaml("a: 1\\na: 2", "a.yaml")
        Traceback (most recent call last):
        topokd.errors.ParameterError: a.yaml is not valid YAML: line 2 gives 'a' a second time, after line 1
        >>> parse_yaml("day: 2024-13-45", "a.yaml")
        Traceback (most recent call last):
        topokd.errors.ParameterError: a.yaml is not valid YAML: month must be in 1..12
    """
    try:
        loader = _Loader(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
        node = loader.get_single_node()
        if node is not None and _entries(node, {}) > MOST_ENTRIES:
            raise ValueError(f"its aliases (*name) stand for more than {MOST_ENTRIES:,} entries, or for themselves")
        return None if node is None else loader.construct_document(node)
    except UnicodeDecodeError as error:
        raise ParameterError(
            f"{where} is not valid YAML: byte {error.start} is not UTF-8 ({error.reason}): save it as UTF-8"
        ) from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        # PyYAML lets through what int, float and datetime say about a value, and Python's limit of nesting
        if (conflict := merge_conflict(text)) is not None:
            raise ParameterError(f"{where}: {conflict}") from error
        raise ParameterError(f"{where} is not valid YAML: {' '.join(str(error).split())[:300]}") from error


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, without numbers to the base 60 and 8, and with an error for a repeated name."""

    yaml_implicit_resolvers: typing.ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {
        first: [(tag, _NUMBERS.get(tag, pattern)) for tag, pattern in known]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A dictionary. Raises ValueError if two of its names are the same."""
        lines: dict[Any, int] = {}
        for name, _ in node.value:
            if isinstance(name, yaml.ScalarNode) and name.tag != "tag:yaml.org,2002:merge":
                line = name.start_mark.line + 1
                if (name.tag, name.value) in lines:
                    before = lines[name.tag, name.value]
                    raise ValueError(f"line {line} gives {name.value!r} a second time, after line {before}")
                lines[name.tag, name.value] = line
        return super().construct_mapping(node, deep)


def _entries(node: yaml.Node, known: dict[int, float]) -> float:
    """Number of entries that a node stands for once its aliases are written out; infinite if it contains itself."""
    if id(node) not in known:
        known[id(node)] = math.inf  # until it is counted
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        pairs = (part if isinstance(part, tuple) else (part,) for part in parts)
        known[id(node)] = 1 + sum(_entries(part, known) for pair in pairs for part in pair)
    return known[id(node)]


def merge_conflict(text: str | bytes) -> str | None:
    """What to do about the marks that git leaves in a file whose two versions it could not merge; None without them.

    Examples:
        >>> merge_conflict("a: 1\\n<<<<<<< HEAD\\nb: 2\\n=======\\nb: 3\\n>>>>>>> other\\n").partition(":")[0]
        'line 2 begins a conflict of two versions (git)'
        >>> merge_conflict("a: 1")
    """
    lines = text.encode().splitlines() if isinstance(text, str) else text.splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith((b"<<<<<<< ", b">>>>>>> ")):
            return (
                f"line {number} begins a conflict of two versions (git): keep one of them and delete the marks "
                "<<<<<<<, =======, >>>>>>>"
            )
    return None
