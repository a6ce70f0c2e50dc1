"""Names of the processor and the GPU, and how much memory there is."""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from topokd.errors import DataError

if TYPE_CHECKING:
    import torch


def processor_name() -> str:
    """Name of the processor, as the system reports it.

    We read one line of /proc/cpuinfo: py-cpuinfo takes about a second (it runs CPUID in child processes), is another
    dependency, and gives the same name on Linux, where everything that records it runs.
    """
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            for line in stream:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def device_name(device: torch.device | str) -> str:
    """Name of the GPU, or of the processor if ``device`` is the CPU."""
    import torch

    device = torch.device(device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


def available_memory() -> int | None:
    """Bytes that this process can still get: of the machine, and below its own limits; None if unknown."""
    found = []
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
        found.append(1024 * int(lines["MemAvailable"].split()[0]))
    except (OSError, ValueError, KeyError):  # not Linux
        pass
    with contextlib.suppress(ImportError, OSError, ValueError, IndexError):  # not Unix
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            used = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
            found.append(max(0, limit - used))
    return min(found, default=None)


def require_memory(needed: int, what: str, advice: str) -> None:
    """Raise `DataError` if ``what`` needs more bytes than there are, before anything is allocated.

    Args:
        needed: bytes.
        what: needs them, for the message.
        advice: how to need less.

    Examples:
        >>> require_memory(10**18, "a table", "ask for less")
        Traceback (most recent call last):
        topokd.errors.DataError: a table needs 1000000000.0 GB of memory, but only ... GB ...: ask for less
    """
    if needed < 1 << 26:  # looking takes longer than it is worth
        return
    there = available_memory()
    if there is not None and needed > there:
        raise DataError(
            f"{what} needs {needed / 1e9:.1f} GB of memory, but only {there / 1e9:.1f} GB are available: {advice}"
        )
