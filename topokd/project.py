"""Paths: the project's folder, the folders of one profile, names of runs, environment variables in paths."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

TEACHER = "teacher"
"""Name of the teacher among the networks of a profile, where a student has the name of its row."""


LAUNCHER = "TOPOKD_LAUNCHER"
"""Environment variable: the command that starts the ranks of a training on several nodes, up to the interpreter."""


def run_name(network: str, seed: int) -> str:
    """The name of a training run's files.

    Args:
        network: `TEACHER`, or a row of the ablation.
        seed: seed of the run.

    >>> run_name("full", 0)
    'full-seed0'
    """
    return f"{network}-seed{seed}"


def split_run_name(name: str) -> tuple[str, int] | None:
    """Network and seed of a run's name; None if it is not one.

    >>> split_run_name("full-seed0"), split_run_name("10_data")
    (('full', 0), None)
    """
    network, _, seed = name.rpartition("-seed")
    return (network, int(seed)) if network and seed.isdigit() else None


def run_record(results: Path, network: str, seed: int) -> Path:
    """The record of a training run in a profile's folder of results.

    >>> run_record(Path("results/default"), "full", 0).as_posix()
    'results/default/runs/full-seed0.json'
    """
    return results / "runs" / f"{run_name(network, seed)}.json"


def project_root() -> Path:
    """The project's folder: ``$TOPOKD_ROOT``, or the nearest folder upwards that holds params.yaml and topokd/.

    Returns:
        The working directory if there is none: the package is installed without the project.
    """
    if os.environ.get("TOPOKD_ROOT"):
        return Path(os.environ["TOPOKD_ROOT"]).resolve()
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            if (folder / "params.yaml").is_file() and (folder / "topokd").is_dir():
                return folder
    return Path.cwd()


def project_path(path: str | Path) -> Path:
    """``path`` unchanged when absolute, else inside the project: a notebook may run in any folder."""
    path = Path(path)
    return path if path.is_absolute() else project_root() / path


def results_path(profile: str) -> Path:
    """``results/<profile>``: small text files, in git."""
    return project_path("results") / profile


def figures_path(profile: str) -> Path:
    """``figures/<profile>``: PNG and SVG, in git."""
    return project_path("figures") / profile


def workspace_path(profile: str) -> Path:
    """``workspace/<profile>``: weights, executed notebooks, live curves; not in git."""
    return project_path("workspace") / profile


def copy_by_hand(profile: str) -> None:
    """Update ``workspace/by-hand``, the folder of notebooks that are run by hand, from the committed files.

    A file of ``results/<profile>`` or ``figures/<profile>`` is copied if it is newer than its copy; a file that a
    notebook wrote remains until the pipeline writes a newer one.

    Args:
        profile: name of the profile.
    """
    for kind in ("results", "figures"):
        source = project_path(kind) / profile
        for file in (path for path in source.rglob("*") if path.is_file()):
            copy = by_hand_path(kind, profile) / file.relative_to(source)
            if not copy.is_file() or copy.stat().st_mtime < file.stat().st_mtime:
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)


def by_hand_path(kind: str, profile: str) -> Path:
    """``workspace/by-hand/<kind>/<profile>``, with ``kind`` results or figures; not in git."""
    return project_path("workspace") / "by-hand" / kind / profile


def expand_environment(text: str) -> str:
    """Replace ``${NAME}`` and ``${NAME:-default}`` in ``text``; an unset variable without a default stays as written.

    Examples:
        >>> expand_environment("${TOPOKD_UNSET_EXAMPLE:-scans}/nuscenes")
        'scans/nuscenes'
    """

    def value(match: re.Match[str]) -> str:
        default = match[0] if match[2] is None else match[2]
        return os.environ.get(match[1]) or default

    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", value, text)
