"""The profiles of the pipeline: the lists ``profiles`` and ``real_profiles`` of params.yaml, read by dvc.yaml.

DVC takes the values of ``matrix`` from params.yaml and cannot choose them per run (treeverse/dvc#7939), so a profile
has to be listed before its stages exist. Plain ``dvc repro`` runs the listed profiles.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from topokd import params as P
from topokd.errors import ParameterError
from topokd.io import write_bytes, write_text
from topokd.project import project_path
from topokd.scans import check_data
from topokd.schema import nearest
from topokd.yaml_text import parse_yaml


def listed_profiles() -> list[str]:
    """Profiles that ``dvc repro`` runs."""
    return _names("profiles")


def check_profile(params: P.Params) -> None:
    """Check what `topokd.params` cannot, before any stage runs: the data set, presets and terms.

    Args:
        params: the parameters of a profile.

    Raises:
        ParameterError: an unknown data set, preset or term.
    """
    from topokd.models import PRESETS

    check_data(params.data)
    presets = {"model.teacher": params.model.teacher, "model.student": params.model.student}
    presets |= {f"rows.{name}.student": row.student for name, row in params.rows.items() if row.student}
    for where, preset in presets.items():
        if preset not in PRESETS:
            raise ParameterError(f"{where} is {preset!r}; {nearest(preset, PRESETS)}")
    for name, row in params.rows.items():
        with contextlib.suppress(ImportError):  # without matplotlib there are no figures
            from matplotlib.colors import is_color_like

            if not is_color_like(row.color):
                raise ParameterError(f"rows.{name}.color is {row.color!r}, which is not a colour: write it as #rrggbb")
    for name in params.train.shares:
        if name not in params.terms:
            raise ParameterError(f"train.shares names {name!r}, which is not in `terms`; {nearest(name, params.terms)}")


def profile_of(address: str) -> str:
    """The listed profile in a stage's address, as ``a-b`` in ``student@a-b-full-0``; "" if there is none.

    Names of profiles may contain dashes, so the longest match counts.

    Args:
        address: as `topokd stages` lists it.
    """
    item = f"{address.partition('@')[2]}-"
    return max((name for name in listed_profiles() if item.startswith(f"{name}-")), key=len, default="")


def list_profile(name: str) -> bool:
    """Add a profile to params.yaml if it is not listed; comments and everything else in the file are kept.

    Args:
        name: ``default`` or the name of a file in conf/.

    Returns:
        Whether the file was changed.

    Raises:
        ParameterError: the profile does not exist, or its parameters are not valid.
    """
    params = P.load_profile(name)
    names = ["profiles"] if params.data.dataset == "synthetic" else ["profiles", "real_profiles"]
    file = project_path("params.yaml")
    before = text = file.read_text(encoding="utf-8")
    for key in names:
        values = _names(key)
        if name not in values:
            text = _with_list(text, key, [*values, name])
    if text != before:
        write_text(file, text)
    return text != before


@contextlib.contextmanager
def listed(name: str) -> Iterator[None]:
    """A profile is listed inside the block; afterwards params.yaml is as before, unless something else changed it.

    Args:
        name: ``default`` or the name of a file in conf/.

    Raises:
        ParameterError: as `list_profile`.
    """
    file = project_path("params.yaml")
    before = file.read_bytes() if file.is_file() else b""
    if not list_profile(name):
        yield
        return
    ours = file.read_bytes()
    try:
        yield
    finally:
        if file.read_bytes() == ours:
            write_bytes(file, before)


def _names(key: str) -> list[str]:
    """One of the lists of params.yaml."""
    values = _root_parameters().get(key) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ParameterError(f"{project_path('params.yaml')}: {key} must be a list of names, not {values!r}")
    return values


def _root_parameters() -> dict:
    file = project_path("params.yaml")
    try:
        tree = parse_yaml(file.read_bytes(), str(file)) or {}
    except FileNotFoundError:
        raise ParameterError(f"{file} does not exist: run this in a checkout of the project") from None
    if not isinstance(tree, dict):
        raise ParameterError(f"{file} must be a mapping of names to values: restore it from git")
    return tree


def _with_list(text: str, key: str, values: list[str]) -> str:
    """``text`` with the one-line list ``key: [...]`` replaced.

    Examples:
        >>> _with_list("seeds: [0]\\nprofiles: [default]  # for DVC\\n", "profiles", ["default", "waymo"])
        'seeds: [0]\\nprofiles: [default, waymo]  # for DVC\\n'
    """
    line = re.compile(rf"^{key}:[ \t]*\[[^\]\n]*\]", re.MULTILINE)
    if not line.search(text):
        raise ParameterError(f"params.yaml needs a line `{key}: [...]`: add `{key}: [{', '.join(values)}]`")
    return line.sub(lambda _: f"{key}: [{', '.join(values)}]", text, count=1)
