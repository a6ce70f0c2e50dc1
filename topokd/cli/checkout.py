"""The checkout of the project that a command acts on."""

from __future__ import annotations

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
