"""Files of runs that no longer belong to a profile because its rows or seeds were changed."""

from __future__ import annotations

import re
from pathlib import Path

from topokd.paper.results import networks, seeds_of
from topokd.params import Params
from topokd.project import split_run_name

_NOTEBOOK = re.compile(r"^(20_|30_student-)")  # of the files of a notebook that trains
_FOLDERS = ("runs", "provenance", "notebooks")  # of results/<profile>, with one file for each run


def is_leftover(file: Path, params: Params) -> bool:
    """Whether a file is named after a run that the profile does not have.

    Args:
        file: a run record, or a file of the notebook that trained it.
        params: the profile.

    Examples:
        >>> from topokd.params import Params
        >>> params = Params(seeds=(0, 1))
        >>> names = ("teacher-seed0.json", "30_student-kd-seed7.json", "10_data.json")
        >>> [is_leftover(Path(name), params) for name in names]
        [False, True, False]
    """
    named = split_run_name(_NOTEBOOK.sub("", file.stem))
    if named is None:
        return False
    network, seed = named
    return network not in networks(params) or seed not in seeds_of(network, params)


def leftovers(params: Params) -> list[Path]:
    """The files below ``results/<profile>`` and ``figures/<profile>/training`` that `is_leftover` finds."""
    folders = [*(params.results / name for name in _FOLDERS), params.figures / "training"]
    files = (file for folder in folders if folder.is_dir() for file in sorted(folder.iterdir()))
    return [file for file in files if is_leftover(file, params)]
