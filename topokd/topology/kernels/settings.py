"""How the kernels are compiled."""

from __future__ import annotations

from typing import Any

from topokd.compiled.jit import compiled, jit, jit_no_refcount, jit_numpy_errors, jit_part

__all__ = ["compiled", "jit", "jit_inline", "jit_no_refcount", "jit_numpy_errors", "jit_part"]

jit_inline: Any = compiled(inline="always")
