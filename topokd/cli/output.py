"""What commands print, and where they write numbers."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import typer

from topokd.errors import ParameterError


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
