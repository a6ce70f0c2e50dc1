"""Resident memory of this process, and returning the heap's free pages to the system (glibc's ``malloc_trim``)."""

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
    """Return the heap's free pages to the system; returns whether the C library can do that.

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
    """Resident memory of this process in bytes; None on systems without /proc.

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
