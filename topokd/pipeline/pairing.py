"""Notebooks in two forms: the percent script that the pipeline depends on, and the ``.ipynb`` that people open.

JupyterLab started by ``make lab`` keeps both in step (jupytext). Where only one was edited by other means,
:func:`pair_notebooks` brings the other in step; where both were, it refuses and nothing is lost.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import jupytext
import nbformat

from topokd import project
from topokd.errors import DataError
from topokd.io import write_text
from topokd.pipeline.notebook import PAIRED_METADATA, with_stable_ids

Cells = list[tuple[str, str, tuple[str, ...]]]


def notebook_scripts() -> list[Path]:
    """Every percent script under ``notebooks/``."""
    folder = project.project_path("notebooks")
    return sorted(path for path in folder.rglob("*.py") if ".ipynb_checkpoints" not in path.parts)


def unpaired_notebooks() -> list[Path]:
    """Percent scripts whose ``.ipynb`` is missing or has other cells (outputs and identifiers do not count)."""
    return [script for script in notebook_scripts() if _cells(script) != _cells(script.with_suffix(".ipynb"))]


def pair_notebooks() -> list[Path]:
    """Bring both forms in step; returns the files written.

    The edited form wins, which is the one that differs from git's last commit.

    Raises:
        DataError: both were edited, differently.
    """
    written = []
    for script in unpaired_notebooks():
        notebook = script.with_suffix(".ipynb")
        edited = [path for path in (script, notebook) if _edited(path)]
        if len(edited) == 2:
            raise DataError(
                f"{script.name} and {notebook.name} were both edited, differently: copy what you want to keep from one "
                f"into the other, or undo one with `git checkout -- {notebook.relative_to(project.project_root())}`"
            )
        if edited == [notebook]:
            write_text(script, script_text(notebook))
            written.append(script)
        else:
            write_text(notebook, notebook_text(script))
            written.append(notebook)
    return written


def notebook_text(script: Path) -> str:
    """The ``.ipynb`` that belongs to a percent script: without outputs, with stable identifiers."""
    notebook = jupytext.read(script)
    notebook.metadata = nbformat.from_dict(PAIRED_METADATA)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.writes(with_stable_ids(notebook)) + "\n"


def script_text(notebook: Path) -> str:
    """The percent script that belongs to an ``.ipynb``."""
    content = jupytext.read(notebook)
    content.metadata = nbformat.from_dict(
        {"jupytext": {"notebook_metadata_filter": "-all", "cell_metadata_filter": "tags,-all"}}
    )
    return jupytext.writes(content, fmt="py:percent")


def _cells(path: Path) -> Cells | None:
    return cells_of(path.read_text(encoding="utf-8"), path.suffix) if path.is_file() else None


def cells_of(text: str, suffix: str) -> Cells:
    """Kind, source and tags of each cell."""
    notebook = jupytext.reads(text, fmt="ipynb" if suffix == ".ipynb" else "py:percent")
    return [(cell.cell_type, cell.source, tuple(cell.metadata.get("tags", ()))) for cell in notebook.cells]


def _edited(path: Path) -> bool:
    """Whether the cells of ``path`` differ from those in git's last commit; a file that git does not know is new."""
    if not path.is_file():
        return False
    root = project.project_root()
    command = ["git", "show", f"HEAD:{path.relative_to(root).as_posix()}"]
    try:
        shown = subprocess.run(command, cwd=root, capture_output=True, text=True)
    except FileNotFoundError:  # no git on this machine: the script is what counts
        return path.suffix == ".py"
    return shown.returncode != 0 or cells_of(shown.stdout, path.suffix) != _cells(path)
