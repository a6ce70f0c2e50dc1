"""Commit, device, threads, seeds and versions that a run used."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from typing import Any

from topokd.machine import processor_name
from topokd.params import Params
from topokd.project import project_path, project_root

CODE = ("topokd", "notebooks", "conf", "params.yaml", "dvc.yaml", "pyproject.toml", "constraints.txt")
"""Files in git that results depend on."""
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
    """Commit, device, processor, threads, seeds and versions as one dictionary for a record."""
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {
        "profile": params.profile,
        **code_record(),
        "seeds": list(params.seeds),
        "device": gpu or "cpu",
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": params.train.threads,
        "platform": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": versions(),
    }


def code_record() -> dict[str, Any]:
    """The commit of the project, and whether files that results depend on differ from it; None outside git.

    Which profiles are in the pipeline changes no result, so those lines of ``params.yaml`` may differ.
    """
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return {"commit": None, "dirty": None}
    files = [name for name in CODE if project_path(name).exists()]
    changed = _git("diff", "--shortstat", "--ignore-matching-lines=^(real_)?profiles:", "HEAD", "--", *files)
    new = _git("ls-files", "--others", "--exclude-standard", "--", *files)
    return {"commit": commit, "dirty": None if changed is None or new is None else bool(changed or new)}


def _git(*arguments: str) -> str | None:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}  # many stages ask at once
    command = ["git", "-C", str(project_root()), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def versions() -> dict[str, str]:
    """Installed versions of the packages that results depend on."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
