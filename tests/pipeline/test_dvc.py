"""dvc.yaml: a stage depends on the code that its notebook imports, and the group order is one that works."""

from __future__ import annotations

import ast
import functools
import subprocess
from pathlib import Path

import grimp
import pytest
import yaml

from tests.conftest import PROJECT
from topokd import params as P
from topokd.errors import ParameterError
from topokd.pipeline import read_stages, repro
from topokd.pipeline.repro import pipeline_file

STAGES = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
NOTEBOOKS = {name: stage for name, stage in STAGES.items() if "topokd notebook" in stage["cmd"]}
# The floor that everything stands on; parameters are tracked by their values, see each stage's `params`.
FLOOR = {"topokd", "topokd.params", "topokd.errors", "topokd.io", "topokd.progress"}
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
    found, todo = set(), {parent for name in direct for parent in with_packages(name)}
    while todo:
        name = todo.pop()
        found.add(name)
        todo |= {p for m in graph.find_modules_directly_imported_by(name) for p in with_packages(m)} - found
    return found - FLOOR


def with_packages(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:k]) for k in range(1, len(parts) + 1)}


def file_of(module: str) -> Path:
    path = PROJECT / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_stage_depends_on_the_code_it_imports(name: str):
    script = next(dep for dep in NOTEBOOKS[name]["deps"] if dep.startswith("notebooks/"))
    assert script in NOTEBOOKS[name]["cmd"]
    declared = [PROJECT / dep for dep in NOTEBOOKS[name]["deps"] if dep.startswith("topokd/")]
    missing = [
        module
        for module in sorted(imported_by(PROJECT / script))
        if not module.startswith(UNUSED.get(name, "-"))
        and not any(file_of(module) == dep or dep in file_of(module).parents for dep in declared)
    ]
    assert not missing, f"stage {name} imports {missing} and does not depend on them"


def test_the_scheduler_sees_every_stage_after_what_it_needs():
    stages = read_stages("default")
    seen: set[str] = set()
    for stage in stages:
        assert stage.needs <= seen
        seen.add(stage.address)
    assert {"params", "data", "teacher@0"} <= seen
    assert {
        f"student@{variant}-{seed}" for variant in P.load_profile("default").train_rows for seed in (0, 1, 2)
    } <= seen
    assert {stage.address for stage in stages if stage.alone} >= {"topology_cost"}


def test_stages_that_measure_time_run_alone():
    def stage(address: str, alone: bool) -> repro.Stage:
        return repro.Stage(address, set(), 0.0, alone, Path(), Path())

    timing, work = stage("timing", True), stage("work", False)
    assert repro._next([timing, work], [], set(), 2) is work
    assert repro._next([timing], [work], set(), 2) is None
    assert repro._next([timing], [], set(), 2) is timing
    assert repro._next([work], [timing], set(), 2) is None


def test_a_finished_stage_tells_what_to_expect_of_its_kind():
    def stage(address: str, expected: float) -> repro.Stage:
        return repro.Stage(address, set(), expected, False, Path(), Path())

    waiting = [stage("student@kd-1", 0.0), stage("student@full-1", 90.0), stage("paper", 0.0)]
    repro._learn(stage("student@kd-0", 0.0), waiting, 60.0)
    assert [s.expected for s in waiting] == [60.0, 90.0, 0.0]


def test_unknown_profile_lists_the_known_ones():
    with pytest.raises(ParameterError, match="known: default, .*smoke"):
        pipeline_file("somke")


def test_slurm_submission_chains_the_groups(tmp_path: Path):
    """With a stand-in for sbatch that records its arguments: one array per group, each after the one before."""
    calls = tmp_path / "calls"
    fake = tmp_path / "sbatch"
    fake.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nwc -l < {calls}\n')
    fake.chmod(0o755)
    import os
    import sys

    environment = {**os.environ, "PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    submit = ["bash", "tools/slurm/submit.sh", "smoke", "--partition=gpu"]
    subprocess.run(submit, cwd=PROJECT, env=environment, check=True, capture_output=True)
    lines = calls.read_text().splitlines()
    names = [next(word for word in line.split() if word.startswith("--job-name=")) for line in lines]
    assert len(set(names)) == len(names) >= 5
    assert "--dependency" not in lines[0]
    for index, line in enumerate(lines[1:], 1):
        assert f"--dependency=afterok:{index} " in line
        assert "--partition=gpu" in line
    teachers = next(line for line in lines if "teacher" in line.split("--job-name=")[1].split()[0])
    assert "--array=1-2 " in teachers
