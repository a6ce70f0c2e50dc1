"""Lets Numba compile the package's kernels while jaxtyping checks the rest of the package.

jaxtyping wraps every function of topokd when tests import it (SHAPES in the Makefile). Numba cannot
compile such a wrapper, so it is given the function inside, as outside the tests.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numba

_njit = numba.njit


def _njit_without_checks(*args: Any, **options: Any) -> Any:
    """`numba.njit`, applied to the function that jaxtyping has wrapped."""
    if args and inspect.isfunction(args[0]):
        return _njit(inspect.unwrap(args[0]), *args[1:], **options)
    decorate: Callable[[Any], Any] = _njit(*args, **options)
    return lambda function: decorate(inspect.unwrap(function))


numba.njit = _njit_without_checks
