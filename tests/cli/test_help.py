"""Help texts, as they are printed: a changed option shows up in a review as a changed snapshot."""

from __future__ import annotations

import pytest
import typer
from syrupy.assertion import SnapshotAssertion
from typer.testing import CliRunner

from topokd.cli import app

COMMANDS = [
    *("predict", "evaluate", "adapt", "submit", "validate", "export", "explore", "info", "warm-up"),
    *("data", "data check", "data convert", "data fingerprint"),
    *("repro", "status", "train", "pdf", "stages", "params", "notebook", "metrics", "stage", "pair", "readme"),
    *("slurm", "slurm plan", "slurm submit", "slurm status", "slurm logs", "slurm cancel", "slurm resume"),
]


def help_of(*command: str) -> str:
    environment = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"}
    result = CliRunner(env=environment).invoke(app, [*command, "--help"], prog_name="topokd")
    assert result.exit_code == 0
    return "\n".join(line.rstrip() for line in result.output.splitlines())


def test_the_commands_are_grouped_by_who_needs_them(snapshot: SnapshotAssertion):
    assert help_of() == snapshot


@pytest.mark.parametrize("command", COMMANDS)
def test_help_texts_equal_the_snapshot(command: str, snapshot: SnapshotAssertion):
    assert help_of(*command.split()) == snapshot


def test_every_argument_and_option_has_help():
    def parameters(command: object, path: str = "topokd") -> list[str]:
        missing = [
            f"{path} {each.name}"
            for each in command.params  # type: ignore[attr-defined]
            if each.name not in ("help", "install_completion", "show_completion") and not getattr(each, "help", None)
        ]
        for name, below in getattr(command, "commands", {}).items():
            missing += parameters(below, f"{path} {name}")
        return missing

    assert parameters(typer.main.get_command(app)) == []


def test_arguments_have_upper_case_names_as_in_the_guides():
    def arguments(command: object, path: str = "topokd") -> list[str]:
        own = [(f"{path} {p.name}", p.metavar) for p in command.params if p.param_type_name == "argument"]  # type: ignore[attr-defined]
        below = getattr(command, "commands", {}).items()
        return [name for name, shown in own if not (shown or "").isupper()] + [
            name for sub, each in below for name in arguments(each, f"{path} {sub}")
        ]

    assert arguments(typer.main.get_command(app)) == []


def test_every_command_has_a_snapshot():
    def below(command: object, path: str = "") -> list[str]:
        visible = [(name, sub) for name, sub in getattr(command, "commands", {}).items() if not sub.hidden]
        return [f"{path}{name}" for name, _ in visible] + [p for name, sub in visible for p in below(sub, f"{name} ")]

    assert sorted(below(typer.main.get_command(app))) == sorted(COMMANDS)


def test_version_prints_the_name_and_the_version():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0 and result.output.startswith("topokd ")
