"""What the allocator holds and does not use goes back to the system (how much that keeps is not measured yet).

The clouds of two steps differ in size, so blocks of every size come and go, and glibc's heap fragments: free pages lie
between used ones, and the resident size climbs from step to step. ``malloc_trim`` gives all of them back.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from pathlib import Path


@functools.cache
def _trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none


def release_free_memory() -> bool:
    """Give free pages of the heap back to the system, where the C library can; returns whether it could.

    Examples:
        >>> isinstance(release_free_memory(), bool)
        True
    """
    trim = _trim()
    if trim is None:
        return False
    trim(0)
    return True


def resident_bytes() -> int | None:
    """Memory of this process that is resident now; None where the system does not say (/proc).

    Examples:
        >>> resident_bytes() is None or resident_bytes() > 1_000_000
        True
    """
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return None
    import resource

    return int(pages) * resource.getpagesize()
