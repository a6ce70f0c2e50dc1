"""Checks of options: no loop receives NaN, an impossible size, or a number in place of a switch."""

from __future__ import annotations

import math
import operator
from typing import Any

from topokd.errors import ParameterError

LARGEST_WEIGHT = 1e12
"""Largest weight of a loss: no product with it overflows float32."""


def number(
    value: Any,
    name: str,
    *,
    least: float = 0.0,
    above: bool = False,
    most: float = math.inf,
    infinite: bool = False,
    unit: str = "",
) -> float:
    """``value`` as a float; NumPy's numbers and 0-dimensional arrays and tensors are accepted.

    Args:
        value: the argument.
        name: the argument's name, for the message.
        least: the lowest value allowed.
        above: whether it must be above ``least``.
        most: the largest value allowed.
        infinite: whether infinity is valid.
        unit: appended to the value in the message.

    Raises:
        ParameterError: it is not a number, NaN, too small, too large, or infinite where that is not valid.

    Examples:
        >>> number(2, "eps")
        2.0
        >>> number(float("nan"), "eps")
        Traceback (most recent call last):
        topokd.errors.ParameterError: eps is nan: pass a finite number, 0 or more
    """
    parsed = math.nan
    if not (isinstance(value, str | bytes) or _is_switch(value) or _is_list(value)):
        try:
            parsed = float(value)
        except (TypeError, ValueError, OverflowError):
            parsed = math.nan
    if (parsed > least if above else parsed >= least) and parsed <= most and (parsed < math.inf or infinite):
        return parsed
    kind = "a number" if infinite else "a finite number"
    bound = f"above {least:g}" if above else f"{least:g} or more"
    bound = f"{least:g} to {most:g}" if most < math.inf and not above else bound
    bound = "" if least == -math.inf else f", {bound}"
    raise ParameterError(f"{name} is {value!r}{unit}: pass {kind}{bound}")


def whole(value: Any, name: str, *, least: int = 1, most: int = 2**31 - 1) -> int:
    """``value`` as an int from ``least`` to ``most``; NumPy's integers and 0-dimensional tensors are accepted.

    Raises:
        ParameterError: it is not a whole number, or outside of the range.

    Examples:
        >>> whole(2.5, "m")
        Traceback (most recent call last):
        topokd.errors.ParameterError: m is 2.5: pass a whole number, at least 1
    """
    try:
        parsed = least - 1 if _is_switch(value) or _is_list(value) else operator.index(value)
    except TypeError:
        parsed = least - 1
    if not least <= parsed <= most:
        bound = f"at least {least}" if parsed < least else f"at most {most}"
        raise ParameterError(f"{name} is {value!r}: pass a whole number, {bound}")
    return parsed


def weight(value: Any, name: str) -> float:
    """``value`` as the weight of a loss.

    Raises:
        ParameterError: it is not a number from 0 to `LARGEST_WEIGHT`.
    """
    return number(value, name, most=LARGEST_WEIGHT)


def _is_switch(value: Any) -> bool:
    """Whether it is a truth value of Python, NumPy or torch, which all convert to 0 or 1."""
    return isinstance(value, bool) or str(getattr(value, "dtype", "")) in ("bool", "torch.bool")


def _is_list(value: Any) -> bool:
    """Whether it is an array or a tensor with axes: one with a single number would convert."""
    return getattr(value, "ndim", 0) != 0


def flag(value: Any, name: str) -> bool:
    """``value`` if it is True or False.

    Raises:
        ParameterError: it is anything else; a number or a word in its place is a mistake.
    """
    if not isinstance(value, bool):
        raise ParameterError(f"{name} is {value!r}: pass True or False")
    return value


def threads(workers: Any) -> int | None:
    """A number of threads, or None for as many as torch uses.

    Raises:
        ParameterError: it is not a whole number, 1 or more.
    """
    return None if workers is None else whole(workers, "workers")
