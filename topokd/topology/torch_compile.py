"""Functions that `torch.compile` calls as they are, instead of tracing into loops that it cannot compile."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def eagerly(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, called in eager mode from code under `torch.compile`; gradients pass through it.

    As `torch.compiler.disable`, which it applies at the first call under a compiler, whose import takes seconds.

    Examples:
        >>> eagerly(len)([1, 2])
        2
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_compiling():
            return torch.compiler.disable(function)(*args, **kwargs)  # type: ignore[no-any-return]
        return function(*args, **kwargs)

    return call
