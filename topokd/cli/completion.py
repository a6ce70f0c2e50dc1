"""Values that the shell completes: names of profiles, benchmarks, label maps and rows of the ablation.

Nothing here imports torch, so that a press of Tab takes a fraction of a second; outside a checkout the lists are empty.
"""

from __future__ import annotations

import pkgutil
from pathlib import Path

from topokd import params as P
from topokd.errors import TopokdError
from topokd.project import project_path


def profiles(incomplete: str) -> list[str]:
    """Profiles of the project that begin with ``incomplete``."""
    names = P.profile_names() if project_path("params.yaml").is_file() else []
    return _beginning(names, incomplete)


def benchmarks(incomplete: str) -> list[str]:
    """Benchmarks that begin with ``incomplete``: the subpackages of topokd.datasets, which needs seconds to import."""
    folder = Path(__file__).parents[1] / "datasets"
    return _beginning([module.name for module in pkgutil.iter_modules([str(folder)]) if module.ispkg], incomplete)


def label_maps(incomplete: str) -> list[str]:
    """Label maps in conf/labels that begin with ``incomplete``."""
    return _beginning(sorted(file.stem for file in project_path("conf/labels").glob("*.yaml")), incomplete)


def rows(incomplete: str) -> list[str]:
    """``teacher`` and the rows of the default profile's ablation that begin with ``incomplete``."""
    try:
        names = ["teacher", *P.load_profile("default").rows]
    except (TopokdError, OSError):
        names = ["teacher"]
    return _beginning(names, incomplete)


def _beginning(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
