"""Energy that this machine took: processors by RAPL, GPUs by NVML, where their counters can be read.

Both count the energy of the whole machine, other programs included. Linux keeps RAPL from ordinary users; an
administrator allows it by ``chmod a+r /sys/class/powercap/*/energy_uj``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


class EnergyMeter:
    """Joules since it was made.

    Args:
        powercap: folder of RAPL's counters.
        gpus: reads a counter for each GPU, in joules since the driver was loaded.

    Examples:
        >>> all(joules >= 0 for joules in EnergyMeter().joules().values())
        True
    """

    def __init__(self, powercap: Path = POWERCAP, gpus: Callable[[], list[float]] | None = None) -> None:
        self._powercap, self._gpus = powercap, gpus or gpu_joules
        self._zones, self._before = self._read_zones(), self._gpus()

    def joules(self) -> dict[str, float]:
        """By ``processors`` and ``gpus``; what cannot be read is left out."""
        joules = {}
        now = self._read_zones()
        if self._zones and now.keys() == self._zones.keys():
            joules["processors"] = sum(self._rise(zone, self._zones[zone], now[zone]) for zone in now) / 1e6
        gpus = self._gpus()
        if gpus and len(gpus) == len(self._before):
            joules["gpus"] = sum(after - before for before, after in zip(self._before, gpus, strict=True))
        return joules

    def _read_zones(self) -> dict[Path, int]:
        """Microjoules of each package; parts of packages and the second interface to the same counters are left out."""
        zones = {}
        for zone in sorted(self._powercap.glob("intel-rapl:[0-9]*")):
            if zone.name.count(":") == 1:
                try:
                    zones[zone] = int((zone / "energy_uj").read_text(encoding="ascii"))
                except (OSError, ValueError):
                    return {}
        return zones

    @staticmethod
    def _rise(zone: Path, before: int, after: int) -> int:
        """The counter begins again at 0 after its range, about once per hour at full load."""
        if after >= before:
            return after - before
        return after - before + int((zone / "max_energy_range_uj").read_text(encoding="ascii"))


def gpu_joules() -> list[float]:
    """The counter of each NVIDIA GPU; empty without a driver, or where the GPU has no counter (before Volta)."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return []
    if nvml.nvmlInit_v2() != 0:
        return []
    try:
        count, joules = ctypes.c_uint(), []
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return []
        for index in range(count.value):
            device, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
            if (
                nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)) != 0
                or nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(millijoules)) != 0
            ):
                return []
            joules.append(millijoules.value / 1000)
        return joules
    finally:
        nvml.nvmlShutdown()
