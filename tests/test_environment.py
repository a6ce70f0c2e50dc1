"""environment.yml, pyproject.toml and constraints.txt name the same packages with versions that agree."""

from __future__ import annotations

import re

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import PROJECT
from tools.pins import EXTRAS, OTHER_PYTHONS, closure, requirements

PAPER = requirements(["paper"])  # what the compendium needs


def conda_requirements() -> dict[str, Requirement]:
    entries = yaml.safe_load((PROJECT / "environment.yml").read_text())["dependencies"]
    lines = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    parsed = [Requirement(line) for line in lines if not line.startswith("-")]
    return {canonicalize_name(r.name): r for r in parsed}


def test_the_conda_environment_names_what_the_compendium_needs_and_nothing_else():
    wanted = [Requirement(r) for r in requirements(["paper", "cuda"])]
    assert {canonicalize_name(r.name) for r in wanted} == set(conda_requirements())


def test_exact_versions_of_the_conda_environment_satisfy_the_package():
    conda = conda_requirements()
    for text in PAPER:
        requirement = Requirement(text)
        exact = re.fullmatch(r"==([\d.]+)", str(conda[canonicalize_name(requirement.name)].specifier))
        if exact:
            assert exact[1] in requirement.specifier, (
                f"{requirement.name}: {exact[1]} is outside {requirement.specifier}"
            )


def test_pins_satisfy_the_package_and_the_lower_bounds_of_the_conda_environment():
    pins = dict(line.split("==") for line in (PROJECT / "constraints.txt").read_text().split())
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    conda = conda_requirements()
    for text in PAPER:
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
def test_the_conda_environment_has_the_package(name: str):
    assert name in conda_requirements()


def test_constraints_pin_every_package_that_is_installed_and_no_other():
    lines = (PROJECT / "constraints.txt").read_text().split()
    wanted = {f"{name}=={version}" for name, version in (closure(requirements(EXTRAS)) | OTHER_PYTHONS).items()}
    assert set(lines) == wanted, "run `make pins`"
