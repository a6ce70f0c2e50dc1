"""The command line: ``topokd --help`` lists the commands; each lives in the file of its subject."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from topokd import __version__
from topokd.cli import adapt, data, explore, pipeline, plumbing, predict, slurm, warm_up
from topokd.cli.streams import prepare_streams
from topokd.errors import DataError, TopokdError
from topokd.io import LEAST_FREE
from topokd.project import project_root
from topokd.stopping import Stopped

USE, RUN, PLUMBING = "Use a network", "Run the experiments", "Plumbing of the pipeline"

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Topology- and gradient-guided knowledge distillation of point-cloud segmentation networks.",
)
command: Callable[..., None]
for command in (
    *(predict.predict, predict.evaluate, adapt.adapt),
    *(predict.submit, predict.validate, predict.export),
):
    app.command(rich_help_panel=USE)(command)
app.add_typer(data.app, name="data", rich_help_panel=USE)
for command in (explore.explore, predict.info, warm_up.warm_up):
    app.command(rich_help_panel=USE)(command)
for command in (pipeline.repro, pipeline.status, pipeline.train, pipeline.pdf, pipeline.stages):
    app.command(rich_help_panel=RUN)(command)
app.add_typer(slurm.app, name="slurm", rich_help_panel=RUN)
for command in (plumbing.params, plumbing.notebook, plumbing.metrics, plumbing.stage, plumbing.pair, plumbing.readme):
    app.command(rich_help_panel=PLUMBING)(command)


def _print_version(wanted: bool | None) -> None:
    if wanted:
        typer.echo(f"topokd {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool | None,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = None,
) -> None:
    """Options of topokd itself."""


def main() -> None:
    """Entry point: errors that a user can act on are printed without a traceback, exit status 1.

    Those are topokd's own errors, errors of the system about a path, and missing optional packages.
    """
    prepare_streams()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        if not _has_working_folder():  # torch would end the process before any message of ours
            raise DataError("the working folder does not exist any more: change to one that does")
        if "" in sys.argv[1:]:  # as a path it would be the working folder
            place = sys.argv.index("", 1)
            raise DataError(f"the argument after {sys.argv[place - 1]!r} is empty: an unset variable of the shell?")
        app()
    except Stopped as error:
        typer.echo(str(error), err=True)
        sys.exit(error.status)
    except TopokdError as error:
        message = str(error)
    except ModuleNotFoundError as error:
        if (error.name or "topokd").split(".")[0] == "topokd":
            raise
        message = (
            f"this command needs the package {error.name}: install it, or topokd with the extra that holds it "
            "(data, explore, paper or onnx; see README.md)"
        )
    except OSError as error:
        message = _describe(error)
    except MemoryError as error:
        message = (
            f"out of memory ({error or 'the system gave no more'}): use a smaller scan or batch, or a machine with more"
        )
    else:
        return
    typer.echo(f"error: {message}", err=True)
    sys.exit(1)


def _describe(error: OSError) -> str:
    path = error.filename2 or error.filename  # the second one is where a finished file was to be moved
    if path is None and error.errno == errno.ENOSPC:
        path = ", ".join(_full_folders()) or None
    if path is None:
        return str(error)
    advice = "free some space or choose another path" if error.errno == errno.ENOSPC else "check that the path exists"
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        readable = os.access(path, os.R_OK) or not os.path.lexists(path)
        advice = "check that the path is writable" if readable else "you lack the permission to read it"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        advice = "a file is in the way of a folder: choose another path"
    if error.errno == errno.ENAMETOOLONG:
        advice = "use a shorter name"
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.EFBIG, errno.EDQUOT):
        advice = "raise the limit (ulimit -a, quota), or choose another disk"
    return f"{path}: {error.strerror}; {advice}"


def _full_folders() -> list[str]:
    """Folders that the project writes to, on disks without space: not every error says which disk is full."""
    full = []
    for folder in (tempfile.gettempdir, Path.home, project_root):
        with contextlib.suppress(OSError, RuntimeError):  # no temporary folder, no home
            if shutil.disk_usage(folder()).free < LEAST_FREE:
                full.append(str(folder()))
    return full


def _has_working_folder() -> bool:
    try:
        return Path.cwd().is_dir()
    except FileNotFoundError:
        return False
