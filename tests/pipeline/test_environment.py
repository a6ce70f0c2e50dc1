"""environment.yml, pyproject.toml and constraints.txt name the same packages with versions that agree."""

from __future__ import annotations

import re
import sys

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import PROJECT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def project() -> dict:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]


def conda_requirements() -> dict[str, Requirement]:
    entries = yaml.safe_load((PROJECT / "environment.yml").read_text())["dependencies"]
    lines = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    found = [Requirement(line) for line in lines if not line.startswith("-")]
    return {canonicalize_name(r.name): r for r in found}


def test_environment_has_every_dependency_and_no_other():
    wanted = [Requirement(r) for r in project()["dependencies"] + project()["optional-dependencies"]["cuda"]]
    assert {canonicalize_name(r.name) for r in wanted} == set(conda_requirements())


def test_exact_versions_of_the_environment_are_allowed_by_the_package():
    conda = conda_requirements()
    for text in project()["dependencies"]:
        requirement = Requirement(text)
        exact = re.fullmatch(r"==([\d.]+)", str(conda[canonicalize_name(requirement.name)].specifier))
        if exact:
            assert exact[1] in requirement.specifier, (
                f"{requirement.name}: {exact[1]} is outside {requirement.specifier}"
            )


def test_pins_satisfy_the_package_and_the_environments_lower_bounds():
    pins = dict(line.split("==") for line in (PROJECT / "constraints.txt").read_text().split())
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    conda = conda_requirements()
    for text in project()["dependencies"]:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} has no pin in constraints.txt"
        assert pins[name] in requirement.specifier
        if ">=" in str(conda[name].specifier):
            assert pins[name] in conda[name].specifier, (
                f"{name}: {pins[name]} against environment.yml {conda[name].specifier}"
            )


@pytest.mark.parametrize(
    "name", ["spconv-cu120", "flash-attn", "torch-scatter", "giotto-ph", "jupyterlab", "papermill"]
)
def test_packages_named_by_the_user_are_there(name: str):
    assert name in conda_requirements()
