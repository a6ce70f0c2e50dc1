"""dvc.yaml: every stage depends on the code that its notebook imports and on the parameters that it reads."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import Any

import grimp
import pytest
import yaml

from tests.conftest import PROJECT
from topokd import params as P

STAGES: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
NOTEBOOKS = {name: stage for name, stage in STAGES.items() if "topokd notebook" in stage["cmd"]}
# Imported by everything: checks, messages, files, names of machines. Parameters are tracked by their values, see each
# stage's `params`.
FLOOR = {
    *("topokd", "topokd.params", "topokd.sections", "topokd.schema", "topokd.choices", "topokd.project"),
    "topokd.yaml_text",
    *("topokd.errors", "topokd.checks", "topokd.io", "topokd.locks", "topokd.progress", "topokd.stopping"),
    *("topokd.options", "topokd.machine", "topokd.memory"),
    *("topokd.cli", "topokd.cli.completion"),  # which command runs, and what the shell completes
}
# Imported through the objective and never called: a teacher is trained by cross-entropy alone.
UNUSED = {"teacher": "topokd.topology"}


@functools.cache
def import_graph() -> grimp.ImportGraph:
    return grimp.build_graph("topokd")


def imported_by(script: Path) -> set[str]:
    """Modules of topokd that a notebook imports, and all that those import (a module's packages included)."""
    graph, direct = import_graph(), set()
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.Import):
            direct |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            direct |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    direct &= graph.modules
    modules, todo = set(), {parent for name in direct for parent in with_packages(name)}
    while todo:
        name = todo.pop()
        modules.add(name)
        # `topokd.load` imports networks when it is called, and no notebook calls it; `topokd.cli` lists the commands
        if name in ("topokd", "topokd.cli"):
            continue
        todo |= {p for m in graph.find_modules_directly_imported_by(name) for p in with_packages(m)} - modules
    return modules - FLOOR


def with_packages(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:k]) for k in range(1, len(parts) + 1)}


def file_of(module: str) -> Path:
    path = PROJECT / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def formatted(text: str) -> str:
    """``text`` of a stage for one item of its matrix."""
    item = {"profile": "default", "row": "full", "seed": 0, "dataset": "waymo"}
    for name, value in item.items():
        text = text.replace(f"${{item.{name}}}", str(value))
    assert "${" not in text, text
    return text


def paths(entries: list[str | dict[str, Any]]) -> list[str]:
    return [formatted(entry if isinstance(entry, str) else next(iter(entry))) for entry in entries]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_stage_depends_on_the_code_it_imports(name: str):
    dependencies = paths(NOTEBOOKS[name]["deps"])
    script = next(path for path in dependencies if path.startswith("notebooks/"))
    assert script in NOTEBOOKS[name]["cmd"]
    declared = [PROJECT / path for path in dependencies if path.startswith("topokd/")]
    missing = [
        module
        for module in sorted(imported_by(PROJECT / script))
        if not module.startswith(UNUSED.get(name, "-"))
        and not any(file_of(module) == path or path in file_of(module).parents for path in declared)
    ]
    assert not missing, f"stage {name} imports {missing} and does not depend on them"


def test_the_explorers_depend_on_the_code_they_import():
    declared = [PROJECT / path for path in paths(STAGES["explorers"]["deps"]) if path.startswith("topokd/")]
    files = map(file_of, imported_by(PROJECT / "topokd/cli/explore.py"))
    assert [file for file in files if not any(file == path or path in file.parents for path in declared)] == []


@pytest.mark.parametrize("name", STAGES)
def test_the_code_that_a_stage_depends_on_exists(name: str):
    absent = [path for path in paths(STAGES[name]["deps"]) if path.startswith(("topokd/", "notebooks/", "conf"))]
    assert [path for path in absent if not (PROJECT / path).exists()] == []


@pytest.mark.parametrize("name", ["teacher", "student"])
def test_training_depends_on_no_figure_of_the_report_and_no_label(name: str):
    assert not any(path.startswith("topokd/paper") or path == "topokd/viz" for path in paths(STAGES[name]["deps"]))
    read = {formatted(key) for entry in STAGES[name]["params"] for key in next(iter(entry.values()))}
    assert not read & {"rows", "rows.full", "train"} and "train.threads" in read


def test_the_stage_params_reads_every_section_of_the_root_file():
    sections = set(yaml.safe_load((PROJECT / "params.yaml").read_text())) - {"profiles", "real_profiles"}
    assert set(STAGES["params"]["params"]) == sections


@pytest.mark.parametrize("name", STAGES)
def test_the_parameters_that_a_stage_reads_exist(name: str):
    tree = P.to_dict(P.load_profile("default"))
    for entry in STAGES[name].get("params", []):
        for key in [entry] if isinstance(entry, str) else next(iter(entry.values())):
            value: Any = tree
            for part in formatted(key).split("."):
                assert part in value, f"stage {name} reads {key}, which params.yaml lacks"
                value = value[part]


def test_as_committed_only_the_default_profile_is_run():
    root = yaml.safe_load((PROJECT / "params.yaml").read_text())
    assert root["profiles"] == ["default"] and root["real_profiles"] == []


@pytest.mark.parametrize("name", [name for name in P.profile_names() if name != "default"])
def test_every_profile_is_valid(name: str):
    assert P.load_profile(name).profile == name


@pytest.mark.parametrize("name", P.profile_names())
def test_the_panels_depend_on_what_trains_their_rows(name: str):
    """On as much of a row as a student does, but not on its label or colour."""
    read = {key for entry in STAGES["panels"]["params"] for key in next(iter(entry.values()))}
    trained = {key.removeprefix("rows.${item.row}.") for entry in STAGES["student"]["params"]
               for key in next(iter(entry.values())) if "${item.row}" in key}  # fmt: skip
    assert len(trained) > 1
    assert {f"rows.{row}.{key}" for row in P.load_profile(name).panels.rows for key in trained} <= read


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_stage_depends_on_the_sections_that_its_notebook_names(name: str):
    script = next(path for path in paths(NOTEBOOKS[name]["deps"]) if path.startswith("notebooks/"))
    named = set(re.findall(r"\bparams\.(\w+)", (PROJECT / script).read_text()))
    named = {"data" if section == "data_root" else section for section in named} & set(P.Params.model_fields)
    whole = any("/params.yaml" in path for path in paths(NOTEBOOKS[name]["deps"]))
    keys = [key for entry in NOTEBOOKS[name].get("params", []) for key in next(iter(entry.values()))]
    assert whole or named - {"profile"} <= {key.split(".")[0] for key in keys}
