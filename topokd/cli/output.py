"""What commands print, and where they write numbers."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import typer

from topokd.errors import ParameterError
from topokd.project import project_path, project_root


def require_checkout() -> None:
    """Check that there is a checkout of the project, and name it as `name_checkout` does.

    Every command that runs the experiments calls it before anything else.

    Raises:
        ParameterError: there is none.
    """
    if not project_path("dvc.yaml").is_file():
        raise ParameterError(
            f"this command needs a checkout of the project and {project_root()} is not one: run it inside a checkout, "
            "or set TOPOKD_ROOT to its folder"
        )
    name_checkout()


def name_checkout() -> None:
    """Print the checkout that a command reads and writes, if the working folder is not inside it.

    Without it the command would silently act on the checkout that the package belongs to, or on that of $TOPOKD_ROOT.
    The line goes to the standard error: the standard output may be for another program.
    """
    root = project_root().resolve()
    if not Path.cwd().is_relative_to(root) and (root / "dvc.yaml").is_file():
        typer.echo(f"checkout: {root} (the working folder is outside it)", err=True)


def counted(number: int, noun: str) -> str:
    """A number with a noun that forms its plural with an s.

    Examples:
        >>> counted(1, "problem"), counted(1200, "scan")
        ('1 problem', '1,200 scans')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def require_json(output: Path | None) -> None:
    """Raise an error, before the work, for an output that is not a .json file: it may be a data file named by mistake.

    Raises:
        ParameterError: its name does not end in .json.
        OSError: it is a folder, or cannot be written.
    """
    from topokd.io import require_writable

    if output is None:
        return
    if output.suffix.lower() != ".json":
        raise ParameterError(f"--output {output}: the numbers are written as .json; give it such a name")
    if output.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(output))
    require_writable(output.parent)


def print_problems(problems: list[str], most: int = 50) -> None:
    """Print problems, one a line, and how many more there are."""
    for problem in problems[:most]:
        typer.echo(problem)
    if len(problems) > most:
        typer.echo(f"... and {len(problems) - most:,} more")
