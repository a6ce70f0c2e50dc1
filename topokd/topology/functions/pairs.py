"""Distances of two diagrams: of each pair of two lists, and within the range of their number type."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from topokd.errors import DataError
from topokd.topology.functions.inputs import Diagrams, diagrams

Function = Callable[[Tensor, Tensor], Tensor]
"""Takes two checked diagrams (k, 2) and (m, 2), and returns a scalar."""


def of_each_pair(function: Function, a: Diagrams, b: Diagrams, names: tuple[str, str] = ("a", "b")) -> Tensor:
    """``function`` of two diagrams, or of each pair of two lists, stacked.

    Args:
        function: see `Function`.
        a: one diagram (k, 2), or a list of them.
        b: one diagram (m, 2), or a list of the same length.
        names: names of both arguments, for messages.

    Raises:
        DataError: see `checked_pairs`.
    """
    first, second, single = checked_pairs(a, b, names)
    values = [function(x, y) for x, y in zip(first, second, strict=True)]
    return values[0] if single else torch.stack(values)


def checked_pairs(
    a: Diagrams, b: Diagrams, names: tuple[str, str] = ("a", "b")
) -> tuple[list[Float[Tensor, "_ 2"]], list[Float[Tensor, "_ 2"]], bool]:
    """Both arguments as lists of one length, and whether they were two diagrams rather than lists.

    Args:
        a: one diagram (k, 2), or a list of them.
        b: one diagram (m, 2), or a list of the same length.
        names: names of both arguments, for messages.

    Raises:
        DataError: the lists have different lengths, the devices differ, or a diagram is not valid (see `diagrams`).
    """
    (first, single), (second, other_single) = diagrams(a, names[0]), diagrams(b, names[1])
    if single != other_single or len(first) != len(second):
        raise DataError(
            f"{names[0]} is {described(a, 'diagram')} and {names[1]} is {described(b, 'diagram')}: pass two diagrams, "
            "or two lists of one length"
        )
    if first[0].device != second[0].device:
        raise DataError(
            f"{names[0]} is on {first[0].device} and {names[1]} on {second[0].device}: move them to one device"
        )
    return first, second, single


def described(given: Any, what: str) -> str:
    """What was passed for one ``what`` or a list of them, for messages.

    >>> described([torch.zeros(0, 2)], "diagram"), described(torch.zeros(0, 2), "diagram")
    ('a list of 1', 'one diagram')
    """
    if isinstance(given, Tensor | np.ndarray):
        return f"one {what}"
    return f"a list of {len(given)}" if isinstance(given, list | tuple) else f"of type {type(given).__name__}"


def within_range(
    value: Float[Tensor, ""], a: Float[Tensor, "k 2"], b: Float[Tensor, "m 2"], distance: Function
) -> Float[Tensor, ""]:
    """``value``, computed again in float64 if squares or weighted sums overflowed: their mean may be finite.

    Args:
        value: the distance, infinite or NaN after an overflow. On a GPU it is returned as it is, without waiting.
        a: a diagram.
        b: the other.
        distance: their distance, in their type.

    Raises:
        DataError: the distance is beyond the type of ``value``.
    """
    if a.dtype == b.dtype == torch.float64 or value.is_cuda or math.isfinite(value.item()):
        return value
    again = distance(a.double(), b.double())
    if not math.isfinite(again.to(value.dtype).item()):
        raise DataError(
            f"the squared distance between the diagrams is {again.item():.3g}, more than {str(value.dtype)[6:]} holds: "
            "divide both by a constant, or pass float64"
        )
    return again.to(value.dtype)
