"""The processor and the GPU: their names, and the device that a user asks for."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from topokd.errors import ParameterError

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


def usable_device(name: str | torch.device | None = None) -> torch.device:
    """The device of that name, once it has computed something; None: a GPU if there is one.

    Raises:
        ParameterError: torch does not know it, the machine does not have it, or it holds no values ("meta").

    Examples:
        >>> usable_device("cpu")
        device(type='cpu')
    """
    import torch

    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros((), device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # AssertionError: torch without CUDA
        reason = str(error).splitlines()[0][:160]  # of a backend that is not built in, torch lists all others
        raise ParameterError(f"device {str(name)!r} cannot be used ({reason}): try cpu, or leave it out") from None
    return device
