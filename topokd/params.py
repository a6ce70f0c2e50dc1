"""Typed, validated parameters: one tree of sections that mirrors ``params.yaml``.

The root ``params.yaml`` is the default profile (the embedded synthetic world on two CPU cores). Another profile is a
short file of differences, ``conf/<profile>.yaml``; `load_profile` lays it over the defaults, and `dump`
writes the whole resolved tree, which notebooks read and results quote. Where the paper is silent or contradicts itself
the decision is named ``NOTES row N``: see ``docs/paper_notes.md``.

The rows of the ablation and the weights and parameters of the loss terms are data: they have no defaults in Python.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, PrivateAttr, model_validator

from topokd import schema
from topokd.errors import ParameterError
from topokd.io import write_text
from topokd.project import (
    by_hand_path,
    copy_by_hand,
    expand_environment,
    figures_path,
    project_path,
    results_path,
    workspace_path,
)
from topokd.schema import Natural, Section
from topokd.sections import (
    Augment,
    Backends,
    Comparison,
    CostMeasurement,
    Data,
    Evaluation,
    Model,
    NetworkStyle,
    Optimizer,
    Panels,
    Row,
    Synthetic,
    Train,
    complete_row,
    named,
)
from topokd.yaml_text import parse_yaml

__all__ = [
    "Augment",
    "Backends",
    "Comparison",
    "CostMeasurement",
    "Data",
    "Evaluation",
    "Model",
    "NetworkStyle",
    "Optimizer",
    "Panels",
    "Params",
    "Row",
    "Synthetic",
    "Train",
    "dump",
    "load",
    "load_profile",
    "merge",
    "profile_names",
    "to_dict",
]


class Params(Section):
    """The whole tree: one section per concern."""

    profiles: tuple[str, ...] = Field(
        ("default",), exclude=True, description="profiles in the pipeline's matrix; this file only"
    )
    real_profiles: tuple[str, ...] = Field(
        (), exclude=True, description="those whose scans are outside the project: fingerprinted on every run"
    )
    profile: str = Field("default", description="names results/<profile>/, figures/<profile>/, workspace/<profile>/")
    seeds: tuple[Natural, ...] = Field((0, 1, 2), min_length=1, description="one student per row for each")
    teacher_seeds: tuple[Natural, ...] = Field(
        (0,),
        min_length=1,
        description="one teacher for each; students of seed k learn from number k mod their count",
    )
    train_rows: tuple[str, ...] = Field((), description="rows of the ablation that are trained, in the order of tables")
    data: Data = Data()
    model: Model = Model()
    train: Train = Train()
    terms: dict[str, dict[str, Any]] = Field(
        {}, description="Eq. 8 (NOTES row 5): weight and parameters of each loss term, in the order of the sum"
    )
    teacher: NetworkStyle = Field(NetworkStyle(), description="How exhibits show the teacher.")
    rows: dict[str, Row] = Field({}, description="Rows of the ablation: name, look, loss terms.")
    evaluation: Evaluation = Evaluation()
    benchmark: CostMeasurement = CostMeasurement()
    panels: Panels = Panels()
    _by_hand: bool = PrivateAttr(default=False)  # results and figures are below workspace/by-hand

    @model_validator(mode="before")
    @classmethod
    def _complete_rows(cls, tree: Any) -> Any:
        """Give every row its complete terms: the shared parameters with its own over them."""
        if not isinstance(tree, Mapping) or not isinstance(tree.get("rows"), Mapping):
            return tree
        shared = named(tree.get("terms"), "terms")
        return {**tree, "rows": {name: complete_row(name, row, shared) for name, row in tree["rows"].items()}}

    @model_validator(mode="after")
    def _once_each(self) -> Params:
        for name in ("seeds", "teacher_seeds", "train_rows"):
            values = getattr(self, name)
            if twice := [value for value in values if values.count(value) > 1]:
                raise ValueError(f"{name} holds {twice[0]!r} twice: each is one run")
        return self

    @model_validator(mode="after")
    def _rows_exist(self) -> Params:
        mentioned = [("train_rows", name) for name in self.train_rows]
        mentioned += [(f"rows.{row}.compare", name) for row, about in self.rows.items() for name in about.compare]
        for where, name in mentioned:
            if name not in self.rows:
                raise ValueError(f"{where} names {name!r}, which is not in `rows`; {schema.nearest(name, self.rows)}")
        return self

    def with_term(self, name: str, **changes: Any) -> Params:
        """A copy with other parameters for one loss term, in ``terms`` and in every row that has it."""
        rows = {
            key: row.replace(terms=row.terms | {name: row.terms[name] | changes}) if name in row.terms else row
            for key, row in self.rows.items()
        }
        return self.replace(terms=self.terms | {name: self.terms.get(name, {}) | changes}, rows=rows)

    def teacher_seed(self, seed: int) -> int:
        """The seed of the teacher from which the students of ``seed`` learn.

        >>> Params(teacher_seeds=(0, 7)).teacher_seed(3)
        7
        """
        return self.teacher_seeds[seed % len(self.teacher_seeds)]

    def replace(self, **changes: Any) -> Params:
        """A validated copy with other values for some fields.

        Raises:
            ParameterError: a name is unknown, or a value is not allowed.
        """
        copy = super().replace(**changes)
        copy._by_hand = self._by_hand
        return copy

    @property
    def by_hand(self) -> bool:
        """Whether results and figures are copies for notebooks run by hand (`load`)."""
        return self._by_hand

    @property
    def results(self) -> Path:
        """``results/<profile>``: small text files, in git; ``workspace/by-hand/results/<profile>`` if loaded so."""
        return by_hand_path("results", self.profile) if self._by_hand else results_path(self.profile)

    @property
    def figures(self) -> Path:
        """``figures/<profile>``: PNG and SVG, in git; ``workspace/by-hand/figures/<profile>`` if loaded so."""
        return by_hand_path("figures", self.profile) if self._by_hand else figures_path(self.profile)

    @property
    def workspace(self) -> Path:
        """``workspace/<profile>``: weights, executed notebooks, live curves; not in git."""
        return workspace_path(self.profile)

    @property
    def data_root(self) -> Path:
        """Folder of the data set.

        Raises:
            ParameterError: ``data.root`` names an unset environment variable.
        """
        if not self.data.root:
            return self.workspace / "data"
        expanded = expand_environment(self.data.root)
        if "$" in expanded or not expanded:
            raise ParameterError(
                f"data.root is {self.data.root!r} and that environment variable is not set: export it as the folder "
                "that holds the data set, or write the folder into data.root"
            )
        return project_path(os.path.expanduser(expanded))

    @property
    def cache_folder(self) -> Path | None:
        """Folder of the scan cache; None for no cache.

        Raises:
            ParameterError: ``train.cache`` names an unset environment variable.
        """
        expanded = expand_environment(self.train.cache)
        if "$" in expanded:
            raise ParameterError(
                f"train.cache is {self.train.cache!r} and that environment variable is not set: export it as a folder "
                "on a fast disk, write the folder into train.cache, or leave train.cache empty for no cache"
            )
        return project_path(os.path.expanduser(expanded)) if expanded else None


def load(path: str | Path, *, save: bool = True) -> Params:
    """Read a resolved parameter file, or differences over the defaults in Python.

    Args:
        path: the file.
        save: False for notebooks run by hand: the results and figures are copies in ``workspace/by-hand``,
            so that nothing in git changes.

    Raises:
        ParameterError: naming the file, the parameter, its value, and the rule or the nearest known name.
    """
    path = project_path(path)
    params = schema.validate(Params, _read(path), file=str(path))
    if not save:
        copy_by_hand(params.profile)
        params._by_hand = True
    return params


def load_profile(name: str) -> Params:
    """Resolve a profile: ``params.yaml``, the files that ``conf/<name>.yaml`` extends, and ``conf/<name>.yaml``.

    Raises:
        ParameterError: as `load`; also when the profile does not exist.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):  # it names folders, too
        raise no_profile(name)
    tree = _read(project_path("params.yaml"))
    files = ["params.yaml"]
    if name != "default":
        for file, differences in _chain(name):
            tree, files = merge(tree, differences), [*files, file]
    return schema.validate(Params, {**tree, "profile": name}, file=" + ".join(files))


def _chain(name: str) -> list[tuple[str, dict[str, Any]]]:
    """The files of a profile with their differences, the most general one first."""
    chain: list[tuple[str, dict[str, Any]]] = []
    while name:
        file = f"conf/{name}.yaml"
        if file in [known for known, _ in chain]:
            raise ParameterError(f"{file} extends itself: {' <- '.join(known for known, _ in chain)}")
        if not project_path(file).exists():
            raise no_profile(name, f", which {chain[-1][0]} extends" if chain else "")
        differences = _read(project_path(file))
        name = differences.pop("extends", "")
        chain.append((file, differences))
    return chain[::-1]


def profile_names() -> list[str]:
    """The profiles of the project: ``default`` and the files of conf/, without those that describe a cluster."""
    names = sorted(file.stem for file in project_path("conf").glob("*.yaml"))
    return ["default", *(name for name in names if not name.startswith("cluster"))]


def no_profile(name: str, where: str = "") -> ParameterError:
    """The error for a name that is not one of `profile_names`; ``where`` follows the name."""
    return ParameterError(f"there is no profile {name!r}{where}; profiles: {', '.join(profile_names())}")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the entries of ``over`` laid over it; mappings are merged, all else is replaced.

    Examples:
        >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}, "d": 4})
        {'a': {'b': 3, 'c': 2}, 'd': 4}
    """
    merged = dict(base)
    for name, value in over.items():
        old = merged.get(name)
        merged[name] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = parse_yaml(path.read_bytes(), str(path)) or {}
    except FileNotFoundError:
        resolved = f" (`topokd params {path.parent.name}` writes it)" if path.parent.name in profile_names() else ""
        raise ParameterError(f"{path} does not exist{resolved}; profiles: {', '.join(profile_names())}") from None
    except IsADirectoryError:
        raise ParameterError(f"{path} is a folder, not a parameter file") from None
    if not isinstance(tree, dict):
        raise ParameterError(f"{path} must be a mapping of names to values, not {schema.shown(tree)}")
    return tree


def dump(params: Params, path: str | Path) -> None:
    """Write the whole tree as YAML, in the order of the sections, atomically."""
    write_text(path, yaml.safe_dump(to_dict(params), sort_keys=False, allow_unicode=True))


def to_dict(section: Section) -> dict[str, Any]:
    """The tree as plain dictionaries and lists, for YAML and JSON."""
    return section.model_dump(mode="json")
