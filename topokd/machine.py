"""Names of the processor and the GPU."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

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
