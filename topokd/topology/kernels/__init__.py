"""Compiled inner loops (Numba, cached on disk, without the GIL); imported only when one of them is needed.

Numba notices when the file of a cached function changes, but not when a function that it calls from another file does.
So the caches beside these files are thrown away whenever any of the files is not what they were compiled from.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any

from numba import njit

from topokd.io import write_text


def _drop_stale_caches(folder: Path) -> None:
    digest = hashlib.sha256()
    for source in sorted(folder.glob("*.py")):
        digest.update(source.read_bytes())
    caches, stamp = folder / "__pycache__", folder / "__pycache__" / "kernels.sha256"
    with contextlib.suppress(OSError):  # a folder that cannot be written holds no caches of ours either
        if not stamp.is_file() or stamp.read_text() != digest.hexdigest():
            for cache in caches.glob("*.nb[ic]"):
                cache.unlink(missing_ok=True)
            write_text(stamp, digest.hexdigest())


_drop_stale_caches(Path(__file__).parent)

compiled = njit(cache=True, nogil=True)
# For inner functions that neither make nor return an array: they work on what their caller holds and do not count
# references to it, which would take more than half of the sweep's time.
BORROWING: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False}
borrowing = njit(**BORROWING)
