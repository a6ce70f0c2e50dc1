"""The recipes of containers/ parse, copy files that exist, and install the versions that the project pins."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import PROJECT

FOLDER = PROJECT / "containers"
DOCKER = ("FROM", "RUN", "COPY", "WORKDIR", "ENV", "ARG", "ENTRYPOINT", "CMD")


def instructions(file: Path) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile with their continuation lines joined."""
    text = "\n".join(line for line in file.read_text().splitlines() if not line.startswith("#"))
    lines = [line for line in re.sub(r"\\\n\s*", " ", text).splitlines() if line.strip()]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def arguments(name: str) -> dict[str, str]:
    """Build arguments of a Dockerfile and their defaults."""
    pairs = [text.partition("=") for word, text in instructions(FOLDER / f"{name}.Dockerfile") if word == "ARG"]
    return {argument: default for argument, _, default in pairs}


def sections(file: Path) -> dict[str, str]:
    """Header and %sections of an Apptainer definition."""
    text = "\n".join(line for line in file.read_text().splitlines() if not line.startswith("#"))
    header, *rest = re.split(r"(?m)^%(\w+)$", text)
    return {"header": header, **dict(zip(rest[::2], rest[1::2], strict=True))}


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_a_dockerfile_has_known_instructions_and_valid_shell(name: str):
    parsed = instructions(FOLDER / f"{name}.Dockerfile")
    assert parsed[0][0] == "FROM" and {word for word, _ in parsed} <= set(DOCKER)
    for word, text in parsed:
        if word == "RUN":
            subprocess.run(["sh", "-n", "-c", text], check=True)
        if word == "COPY":
            *sources, _ = text.split()
            assert all((PROJECT / source).exists() for source in sources), text
            ignored = (PROJECT / ".dockerignore").read_text().splitlines()
            assert all(f"!{source.removeprefix('./')}" in ignored for source in sources), text


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_a_definition_has_known_sections_and_valid_shell(name: str):
    parsed = sections(FOLDER / f"{name}.def")
    assert set(parsed) == {"header", "arguments", "files", "post", "environment", "runscript"}
    assert yaml.safe_load(parsed["header"])["Bootstrap"] == "docker"
    for part in ("post", "environment", "runscript"):
        subprocess.run(["sh", "-n", "-c", parsed[part]], check=True)
    assert all((PROJECT / line.split()[0]).exists() for line in parsed["files"].splitlines() if line.strip())


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_both_recipes_of_a_kind_install_the_same(name: str):
    docker = dict(instructions(FOLDER / f"{name}.Dockerfile"))
    definition = sections(FOLDER / f"{name}.def")
    assert yaml.safe_load(definition["header"])["From"] == docker["FROM"]
    torch = arguments(name)["TORCH"]
    assert torch in shlex.split(definition["post"].replace("\n", " "))
    runs = " ".join(text for word, text in instructions(FOLDER / f"{name}.Dockerfile") if word == "RUN")
    for option in re.findall(r"'\.\[\S+\]'|spconv\S+|-c constraints\.txt", definition["post"]):
        assert option in runs


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_the_package_index_is_the_user_s_choice(name: str):
    definition = sections(FOLDER / f"{name}.def")
    assert arguments(name)["PIP_EXTRA_INDEX_URL"] == "" and definition["arguments"].split() == ["PIP_EXTRA_INDEX_URL="]
    assert "export PIP_EXTRA_INDEX_URL='{{ PIP_EXTRA_INDEX_URL }}'" in definition["post"]
    assert all("://" not in (FOLDER / f"{name}.{kind}").read_text() for kind in ("Dockerfile", "def"))


def test_the_cpu_recipes_have_the_pinned_torch_and_the_cuda_ones_that_of_the_environment():
    makefile = re.search(r"(?m)^TORCH \?= (\S+)", (PROJECT / "Makefile").read_text())
    assert makefile is not None and makefile[1] in (FOLDER / "cpu.def").read_text()
    version = re.search(r"torch==(2\.8\S*)", (FOLDER / "cuda.def").read_text())
    assert version is not None and "torch" in (PROJECT / "environment.yml").read_text()
    assert "2.8" in (PROJECT / "environment.yml").read_text()
