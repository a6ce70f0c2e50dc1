"""Compile settings of all Numba kernels, and the invalidation of their caches on disk.

Numba recompiles a cached function when its own file changes. It does not notice changes in other files: a function or
constant imported from there, or the settings below. A package with kernels therefore calls `drop_stale_caches`
when it is imported.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any

from numba import njit

from topokd.io import write_text

JIT: dict[str, Any] = {"cache": True, "nogil": True}
"""Cached on disk, and run without the global interpreter lock."""
NO_REFCOUNT: dict[str, Any] = {**JIT, "_nrt": False}
"""For helpers that neither allocate nor return arrays: their arguments are not reference-counted."""

jit: Any = njit(**JIT)
jit_no_refcount: Any = njit(**NO_REFCOUNT)
jit_numpy_errors: Any = njit(**JIT, error_model="numpy")
"""For loops with divisors that are never zero: divisions are not checked."""


def drop_stale_caches(folder: Path, pattern: str = "*.py") -> None:
    """Delete the Numba caches of ``folder`` when a source has changed since they were compiled.

    Args:
        folder: folder of the kernels' sources; a stamp in its ``__pycache__`` records their SHA-256.
        pattern: which files of ``folder`` the kernels are compiled from.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> cache = folder / "__pycache__" / "kernel.nbi"
        >>> cache.parent.mkdir()
        >>> _ = (folder / "kernel.py").write_text("x = 1"), cache.write_text("compiled")
        >>> drop_stale_caches(folder)
        >>> cache.exists()
        False
    """
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for source in sorted(folder.glob(pattern)):
        digest.update(source.read_bytes())
    caches, stamp = folder / "__pycache__", folder / "__pycache__" / "kernels.sha256"
    with contextlib.suppress(OSError):  # a read-only folder has no caches either
        if not stamp.is_file() or stamp.read_text() != digest.hexdigest():
            for cache in caches.glob("*.nb[ic]"):
                cache.unlink(missing_ok=True)
            write_text(stamp, digest.hexdigest())
