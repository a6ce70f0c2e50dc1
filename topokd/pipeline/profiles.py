"""The pipeline's file in every profile's folder: a copy of the one dvc.yaml, kept in step with it.

DVC reads parameters beside the dvc.yaml that it runs, so each profile needs one of its own (with its own lock). A
symbolic link would do where links survive; they do not in archives, on Windows, and in copies of a working tree.
"""

from __future__ import annotations

from pathlib import Path

from topokd import project
from topokd.io import write_text


def stale_profiles() -> list[Path]:
    """``conf/<profile>/dvc.yaml`` that are missing or differ from ``dvc.yaml``."""
    whole = project.project_path("dvc.yaml").read_bytes()
    files = sorted(path.with_name("dvc.yaml") for path in project.project_path("conf").glob("*/params.yaml"))
    return [file for file in files if not file.is_file() or file.read_bytes() != whole]


def update_profiles() -> list[Path]:
    """Copy ``dvc.yaml`` to the profiles that lack it; returns the files written."""
    stale = stale_profiles()
    for file in stale:
        write_text(file, project.project_path("dvc.yaml").read_text(encoding="utf-8"))
    return stale
