"""A command that acts on the project names the checkout, unless it was started inside it."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.conftest import PROJECT
from topokd.cli import app
from topokd.cli.checkout import name_checkout
from topokd.explore import page
from topokd.pipeline import status

RUNNER = CliRunner()
NAMED = f"checkout: {PROJECT} (the working folder is outside it)\n"


def printed(*arguments: str) -> tuple[str, str]:
    """Standard output and standard error of a command, as far as it comes."""
    result = RUNNER.invoke(app, list(arguments))
    return result.stdout, result.stderr


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOPOKD_ROOT", str(PROJECT))
    monkeypatch.chdir(tmp_path)


def test_outside_the_checkout_it_is_named_first_and_not_on_the_standard_output(
    elsewhere: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(status, "profile_status", lambda profile: [])
    assert printed("status") == ("default: 0 done, 0 running, 0 ready, 0 waiting\n", NAMED)


def test_inside_the_checkout_it_is_not_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOPOKD_ROOT", str(PROJECT))
    monkeypatch.setattr(status, "profile_status", lambda profile: [])
    for folder in (PROJECT, PROJECT / "topokd" / "cli"):
        monkeypatch.chdir(folder)
        assert printed("status")[1] == ""


def test_a_link_to_the_checkout_is_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "link").symlink_to(PROJECT)
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path / "link"))
    monkeypatch.setattr(status, "profile_status", lambda profile: [])
    monkeypatch.chdir(PROJECT)
    assert printed("status")[1] == ""


@pytest.mark.parametrize(
    "command",
    [
        ("train", "no such row"),
        ("stages", "--profile", "none"),
        ("params", "none"),
        ("pdf", "--profile", "none"),
        ("metrics", "none"),
        ("slurm", "task", "none", "a", "7"),
        ("data", "fingerprint", "--profile", "none"),
        ("data", "fingerprint", "absent", "-o", "numbers.json"),
    ],
)
def test_every_command_of_the_project_names_it_once(command: tuple[str, ...], elsewhere: None):
    """They end with an error after it, and write nothing."""
    assert printed(*command)[1] == NAMED


def test_pages_of_the_project_name_it_and_pages_of_own_points_do_not(
    elsewhere: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(page, "write_pages", lambda *arguments, **options: [])
    assert printed("explore") == ("", NAMED)
    assert printed("explore", "absent.npy")[1] == printed("data", "fingerprint", str(tmp_path))[1] == ""


def test_without_any_checkout_nothing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """As where the package is installed alone: files are then read from the working folder."""
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path / "other"))
    monkeypatch.chdir(tmp_path)
    name_checkout()
    assert capsys.readouterr().err == ""


def test_every_command_that_needs_a_checkout_names_it():
    """They call `require_checkout`, which does; `data fingerprint` and `explore` call `name_checkout`."""
    commands = [*app.registered_commands, *(c for group in app.registered_groups for c in commands_of(group))]
    functions = [command.callback for command in commands if command.callback]
    acting = {one.__name__ for one in functions if re.search("(require|name)_checkout", inspect.getsource(one))}
    runs = {"repro", "status", "train", "pdf", "stages", "params", "notebook", "metrics", "stage", "pair", "readme"}
    slurm = {"plan", "submit", "resume", "logs", "cancel", "task"}
    assert acting == runs | slurm | {"fingerprint", "explore"}


def commands_of(group: typer.models.TyperInfo) -> list[typer.models.CommandInfo]:
    return group.typer_instance.registered_commands if group.typer_instance else []


def test_the_checkout_of_the_package_is_found_and_named(tmp_path: Path):
    environment = {name: value for name, value in os.environ.items() if name != "TOPOKD_ROOT"}
    environment["PYTHONPATH"] = str(PROJECT)
    command = [sys.executable, "-m", "topokd.cli", "params", "none"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.splitlines()[0] == NAMED.strip() and done.stderr.splitlines()[1].startswith("error: ")
