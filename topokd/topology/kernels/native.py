"""Parts of kernels that are called through their C addresses (`topokd.compiled.native`)."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic


def _lowest_bit(_: Any, word: Any) -> Any:
    """Index of the lowest set bit of a word that is not zero: one instruction."""

    def generate(__: Any, builder: Any, ___: Any, arguments: Any) -> Any:
        import llvmlite.ir

        return builder.cttz(arguments[0], llvmlite.ir.Constant(llvmlite.ir.IntType(1), 1))

    return types.int64(types.uint64), generate


lowest_bit: Any = intrinsic(_lowest_bit)


def sum_of(numbers, count, out):  # type: ignore[no-untyped-def]
    """Write the sum of ``count`` numbers to ``out``: the smallest example of such a kernel."""
    out[0] = 0.0
    for k in range(count):
        out[0] += numbers[k]
    return 0
