"""Device, threads and versions that a run used."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

from topokd.machine import processor_name
from topokd.params import Params

PACKAGES = (
    "topokd",
    "torch",
    "numpy",
    "scipy",
    "numba",
    "giotto-ph",
    "pandas",
    "matplotlib",
    "plotly",
    "papermill",
    "dvc",
)


def environment_record(params: Params) -> dict[str, Any]:
    """Device, processor, threads, seeds and versions as one dictionary for a record."""
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {
        "profile": params.profile,
        "device": gpu or "cpu",
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": params.train.threads,
        "platform": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Installed versions of the packages that results depend on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
