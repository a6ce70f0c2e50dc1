"""Base of all parameter sections: frozen pydantic models, readable errors, comments from field descriptions."""

from __future__ import annotations

import difflib
import reprlib
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from topokd.errors import ParameterError
from topokd.options import LARGEST_WEIGHT

WIDTH = 120  # characters of a line of a commented file


def _not_bool(value: Any) -> Any:
    """Reject true and false in place of numbers; pydantic would accept them as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("it must be a number")
    return value


# `1e-6` is text in YAML 1.1, so numbers are also accepted as text; whole numbers are not.
Number = Annotated[float, BeforeValidator(_not_bool), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
Weight = Annotated[Number, Field(ge=0, le=LARGEST_WEIGHT)]
TermWeight = Annotated[Number, Field(gt=0, le=LARGEST_WEIGHT)]
TEMPERATURES = (1e-6, 1e6)  # beyond them exp(z / T) or T^2 overflows float32, or nothing of the logits is left
Temperature = Annotated[Number, Field(ge=TEMPERATURES[0], le=TEMPERATURES[1])]
Probability = Annotated[Number, Field(ge=0, le=1)]
Integer = Annotated[int, Field(strict=True)]
MOST = 2**31 - 1
Count = Annotated[int, Field(strict=True, ge=1, le=MOST)]
Natural = Annotated[int, Field(strict=True, ge=0, le=MOST)]
Processes = Annotated[int, Field(strict=True, ge=0, le=1024)]
Threads = Annotated[int, Field(strict=True, ge=1, le=4096)]
MOST_VIEWS = 3600
LARGEST_VOXEL = 100.0
VoxelSize = Annotated[Number, Field(gt=0, le=LARGEST_VOXEL)]
Views = Annotated[int, Field(strict=True, ge=1, le=MOST_VIEWS)]
Switch = Annotated[bool, Field(strict=True)]


Kind = TypeVar("Kind", bound="Section")

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 200, 200


def shown(value: Any) -> str:
    """A value in a message: long ones are cut, as aliases of YAML can make one of millions of entries.

    Examples:
        >>> shown([[1, 2, 3, 4, 5, 6, 7, 8]])
        '[[1, 2, 3, 4, 5, 6, ...]]'
    """
    return _SHORT.repr(value)


class Section(BaseModel):
    """Immutable parameters; an unknown name is an error.

    Examples:
        >>> class Sphere(Section):
        ...     radius: Positive = Field(1.0, description="in metres")
        >>> Sphere().replace(radius=2)
        Sphere(radius=2.0)
        >>> Sphere().replace(radios=2)
        Traceback (most recent call last):
        topokd.errors.ParameterError: unknown parameter 'radios'; did you mean 'radius'?
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def replace(self: Kind, **changes: Any) -> Kind:
        """A validated copy with other values for some fields.

        Raises:
            ParameterError: a name is unknown, or a value is not allowed.
        """
        current = {name: getattr(self, name) for name in type(self).model_fields}
        return validate(type(self), current | changes)


def validate(kind: type[Kind], tree: Any, *, file: str = "", where: str = "") -> Kind:
    """Build ``kind`` from a mapping.

    Args:
        kind: the section to build.
        tree: names to values; sections are nested mappings.
        file: named at the start of an error.
        where: dotted name of the section, put before each parameter in an error.

    Raises:
        ParameterError: naming the file and, for each wrong parameter, its dotted name, value, rule or nearest name.
    """
    prefix = f"{file}: " if file else ""
    if not isinstance(tree, Mapping):
        given = shown(tree)
        raise ParameterError(f"{prefix}{where or 'the file'} must be a mapping of names to values, not {given}")
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        problems = [_explain(dict(problem), kind, where) for problem in error.errors(include_url=False)]
        raise ParameterError(prefix + "; ".join(problems)) from None


def nearest(name: Any, known: Iterable[str]) -> str:
    """Advice for an unknown name.

    Examples:
        >>> nearest("topp", ["kd", "topo"]), nearest("x", ["kd", "topo"])
        ("did you mean 'topo'?", 'known here: kd, topo')
    """
    known = list(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known) or 'none'}"


def _dotted(where: str, parts: Iterable[Any]) -> str:
    text = where
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


_TYPES = {  # beginning of the pydantic error type: rule
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping of names to values",
    "model": "a mapping of names to values",
}


def _explain(problem: dict[str, Any], kind: type[Section], where: str) -> str:
    """One pydantic error as a sentence with the parameter's dotted name."""
    location, about, value = problem["loc"], problem.get("ctx", {}), problem["input"]
    given = shown(value)
    name, form = _dotted(where, location), str(problem["type"])
    if form == "extra_forbidden":
        section = _section_at(kind, location[:-1])
        return f"unknown parameter {name!r}; {nearest(location[-1], section.model_fields if section else [])}"
    if form == "missing" and isinstance(location[-1], int):  # of a list with a fixed number of entries
        return f"{_dotted(where, location[:-1])} is too short: {given}"
    if form == "missing":
        return f"{name} is missing"
    if form == "string_pattern_mismatch":
        return f"{name} is {given}; it must have the form {about['pattern']}"
    if form == "string_too_short":
        return f"{name} is empty"
    if form in ("too_short", "too_long"):
        bound = about.get("min_length", about.get("max_length"))
        return f"{name} must have {bound} entries, not {about['actual_length']}"
    if form == "literal_error":
        return f"{name} is {given}; choose one of {about['expected'].replace(chr(39), '').replace(' or ', ', ')}"
    if form == "value_error":
        subject = name if isinstance(value, Mapping | Section) else f"{name} is {given}"
        return f"{subject}; {about['error']}".removeprefix("; ")
    bounds = {"greater_than": ("gt", "above {:g}"), "greater_than_equal": ("ge", "{:g} or more")}
    bounds |= {"less_than": ("lt", "below {:g}"), "less_than_equal": ("le", "at most {:g}")}
    if form in bounds:
        key, rule = bounds[form]
        return f"{name} is {given}; it must be {rule.format(about[key])}"
    for start, rule in _TYPES.items():
        if form.startswith(start):
            return f"{name} must be {rule}, not {given}"
    return f"{name} is {given}; {problem['msg']}"


def _section_at(kind: Any, location: tuple[Any, ...]) -> type[Section] | None:
    """The section that a path of names leads to."""
    for part in location:
        if isinstance(kind, type) and issubclass(kind, Section) and part in kind.model_fields:
            kind = kind.model_fields[part].annotation
        else:  # an entry of a mapping of sections
            kind = (typing.get_args(kind) or (None,))[-1]
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def descriptions(kind: type[Section], where: str = "") -> dict[str, str]:
    """Dotted name -> description of every field, sections included."""
    texts: dict[str, str] = {}
    for name, field in kind.model_fields.items():
        path = f"{where}.{name}" if where else name
        section = _section_at(kind, (name,))
        summary = (section.__doc__ or "").strip().splitlines()[0] if section else ""
        texts[path] = field.description or summary
        if section:
            texts |= descriptions(section, path)
        elif inner := _section_at(kind, (name, "*")):
            texts |= descriptions(inner, f"{path}.*")
    return texts


def commented_yaml(tree: Mapping[str, Any], notes: Mapping[str, str]) -> str:
    """``tree`` as YAML with a comment for each parameter.

    Args:
        tree: nested mappings, lists and scalars.
        notes: dotted name -> comment; ``rows.*.label`` comments the first entry of ``rows`` only.

    Examples:
        >>> print(commented_yaml({"a": {"b": [1, 2]}}, {"a": "A section.", "a.b": "two numbers"}), end="")
        a:  # A section.
          b: [1, 2]  # two numbers
    """
    return "".join(_commented(tree, notes, "", set()))


def _commented(tree: Mapping[str, Any], notes: Mapping[str, str], where: str, said: set[str]) -> Iterable[str]:
    indent = "  " * (where.count(".") + bool(where))
    for name, value in tree.items():
        path = f"{where}.{name}" if where else name
        key = path if path in notes else _generic(path, notes)
        note = "" if key in said else notes.get(key, "")
        said.add(key)
        block = isinstance(value, Mapping) and bool(value)
        line = f"{indent}{_scalar(name)}:" + ("" if block else f" {_scalar(value)}")
        if note and len(line) + len(note) + 4 > WIDTH:
            yield f"{indent}# {note}\n"
        elif note:
            line += f"  # {note}"
        yield line + "\n"
        if block:
            yield from _commented(value, notes, path, said)


def _generic(path: str, notes: Mapping[str, str]) -> str:
    """``rows.kd.label`` -> ``rows.*.label`` if there is a note of that name."""
    parts = path.split(".")
    for i in range(1, len(parts)):
        candidate = ".".join([*parts[:i], "*", *parts[i + 1 :]])
        if candidate in notes:
            return candidate
    return path


def _scalar(value: Any) -> str:
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).removesuffix("...\n").strip()
    )


def markdown_table(tree: Mapping[str, Any], notes: Mapping[str, str]) -> str:
    """Every parameter with its value and meaning as a Markdown table, for the documentation.

    Examples:
        >>> print(markdown_table({"a": {"b": 1}}, {"a.b": "a number"}), end="")
        | parameter | default | meaning |
        |---|---|---|
        | `a.b` | `1` | a number |
    """
    lines = ["| parameter | default | meaning |", "|---|---|---|"]

    def walk(tree: Mapping[str, Any], where: str) -> None:
        for name, value in tree.items():
            path = f"{where}.{name}" if where else name
            if isinstance(value, Mapping) and value:
                walk(value, path)
            else:
                note = notes.get(path if path in notes else _generic(path, notes), "")
                lines.append(f"| `{path}` | `{_scalar(value)}` | {note.replace('|', '&#124;')} |")

    walk(tree, "")
    return "\n".join(lines) + "\n"
