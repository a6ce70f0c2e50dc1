"""The memory allocator of the notebooks' kernels; no number depends on it.

A training step allocates and frees the same hundreds of megabytes, in blocks of other sizes each time. With glibc,
holes between these blocks grow for hundreds of steps, until its heap is several times what is in use. Returning free
pages (`malloc_trim`) costs time and does not last, as the next steps touch them again. jemalloc's heap stays as it is
after a few steps (benchmarks/memory.md).
"""

from __future__ import annotations

import ctypes.util
import functools
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

HUGE_PAGES = "glibc.malloc.hugetlb"
"""Setting of glibc's allocator; with 1, large tensors get pages of 2 MB, if the system allows it.

Other C libraries ignore it. Getting memory from the system page by page takes time (benchmarks/huge_pages.md).
"""

LIBRARY = "libjemalloc.so.2"


@functools.cache
def jemalloc() -> str | None:
    """What `LD_PRELOAD` needs to load jemalloc, from this environment or the system; None if it is not installed."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return None  # elsewhere it may have been built for pages of another size, and then no program starts
    own = Path(sys.prefix, "lib", LIBRARY)  # conda
    return str(own) if own.is_file() else LIBRARY if ctypes.util.find_library("jemalloc") == LIBRARY else None


def allocator_environment(environment: Mapping[str, str], library: str | None) -> dict[str, str]:
    """Variables that choose the allocator of a new process; what the user has set stays.

    Args:
        environment: that of this process.
        library: see `jemalloc`.

    Returns:
        Variables to add to ``environment``.

    Examples:
        >>> allocator_environment({}, None)
        {'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'}
        >>> allocator_environment({"GLIBC_TUNABLES": "glibc.malloc.check=1"}, None)
        {'GLIBC_TUNABLES': 'glibc.malloc.check=1:glibc.malloc.hugetlb=1'}
        >>> sorted(allocator_environment({}, "libjemalloc.so.2"))
        ['GLIBC_TUNABLES', 'LD_PRELOAD', 'MALLOC_CONF']
        >>> allocator_environment({"LD_PRELOAD": "", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}, "libjemalloc.so.2")
        {'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=0'}
    """
    tunables = environment.get("GLIBC_TUNABLES", "")
    if HUGE_PAGES not in tunables:
        tunables = ":".join(filter(None, [tunables, f"{HUGE_PAGES}=1"]))
    chosen = {"GLIBC_TUNABLES": tunables}
    if library is not None and "LD_PRELOAD" not in environment:
        chosen |= {"LD_PRELOAD": library, "MALLOC_CONF": environment.get("MALLOC_CONF", "thp:always")}
    return chosen


def allocator_name(environment: Mapping[str, str]) -> str:
    """For records: jemalloc if it is loaded before the C library, otherwise system.

    Examples:
        >>> allocator_name({"LD_PRELOAD": "/opt/conda/lib/libjemalloc.so.2"}), allocator_name({})
        ('jemalloc', 'system')
    """
    return "jemalloc" if "jemalloc" in environment.get("LD_PRELOAD", "") else "system"
