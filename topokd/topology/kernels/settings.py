"""Compile settings of the kernels. Importing them first deletes caches that other sources were compiled to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numba import njit

from topokd._numba import JIT, NO_REFCOUNT, drop_stale_caches, jit, jit_no_refcount, jit_numpy_errors

__all__ = ["JIT", "NO_REFCOUNT", "jit", "jit_inline", "jit_no_refcount", "jit_numpy_errors"]

drop_stale_caches(Path(__file__).parent)

jit_inline: Any = njit(**JIT, inline="always")
