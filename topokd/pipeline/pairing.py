"""Notebooks in two forms: the percent script that the pipeline depends on, and the ``.ipynb`` that people open.

JupyterLab started by ``make lab`` saves both (jupytext's contents manager). If only one form was edited by other means,
`pair_notebooks` updates the other; if both were, it raises an error and changes neither. ``jupytext --sync`` keeps the
newer file, but after a checkout both files have the same time, and it never reports a conflict. Here a form counts as
edited if its cells differ both from the last pairing (a digest under ``workspace/``) and from git's last commit.
Without either (a freshly unpacked archive without git) the file that was written later is kept, and the other one is
copied to ``workspace/replaced/``.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import jupytext
import nbformat

from topokd.errors import DataError
from topokd.io import read_json, write_json, write_text
from topokd.pipeline.notebook_file import PAIRED_METADATA, parse_notebook, read_notebook, with_stable_ids
from topokd.project import project_path, project_root

REPLACED = "workspace/replaced"  # copies of forms that were replaced when it was not known which one was edited
RECORD = "workspace/pairing.json"  # digest of the cells of both forms when they were last paired, by script


def notebook_scripts() -> list[Path]:
    """Every percent script under ``notebooks/``."""
    folder = project_path("notebooks")
    return sorted(path for path in folder.rglob("*.py") if ".ipynb_checkpoints" not in path.parts)


def unpaired_notebooks() -> list[Path]:
    """Percent scripts without an ``.ipynb``, or with one whose cells differ (outputs and identifiers do not count)."""
    return [script for script in notebook_scripts() if _digest(script) != _digest(script.with_suffix(".ipynb"))]


def pair_notebooks() -> list[Path]:
    """Update the form of each notebook that was not edited; returns the files written.

    Raises:
        DataError: both forms were edited, differently, or an ``.ipynb`` cannot be read.
    """
    record = _last_pairing()
    written = []
    in_git = _is_in_git()
    for script in unpaired_notebooks():
        notebook = script.with_suffix(".ipynb")
        edited = [path for path in (script, notebook) if _is_edited(path, record.get(_key(script)), in_git)]
        if len(edited) == 2 and not in_git and _key(script) not in record:
            edited = [_later(script, notebook)]
        if len(edited) == 2:
            raise DataError(
                f"{script.name} and {notebook.name} were both edited, differently: copy what you want to keep from one "
                "into the other, or undo one "
                + (f"with `git checkout -- {_key(notebook)}`" if in_git else f"by deleting {_key(notebook)}")
            )
        if edited == [notebook]:
            write_text(script, script_text(notebook))
            written.append(script)
        else:
            write_text(notebook, notebook_text(script))
            written.append(notebook)
    now = {_key(script): _digest(script) for script in notebook_scripts()}
    if now != record:
        write_json(project_path(RECORD), now)
    return written


def notebook_text(script: Path) -> str:
    """The ``.ipynb`` that belongs to a percent script: without outputs, with stable identifiers."""
    return _without_outputs(read_notebook(script))


def cleaned_text(text: str | bytes) -> str:
    """The ``.ipynb`` as it is committed: the same cells without outputs, counters and metadata; git's clean filter.

    Raises:
        DataError: the text is not a notebook.
    """
    try:
        return _without_outputs(parse_notebook(text, "ipynb"))
    except DataError as error:
        raise DataError(f"standard input is not a notebook that can be read: {error}") from error


def _without_outputs(notebook: nbformat.NotebookNode) -> str:
    notebook.metadata = nbformat.from_dict(PAIRED_METADATA)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.writes(with_stable_ids(notebook)) + "\n"


def script_text(notebook: Path) -> str:
    """The percent script that belongs to an ``.ipynb``."""
    content = read_notebook(notebook)
    content.metadata = nbformat.from_dict(
        {"jupytext": {"notebook_metadata_filter": "-all", "cell_metadata_filter": "tags,-all"}}
    )
    return jupytext.writes(content, fmt="py:percent")


def _is_in_git() -> bool:
    """Whether the project is a git checkout and git is installed."""
    return _committed("params.yaml") is not None


def _committed(key: str) -> str | None:
    """A file as in git's last commit, or None."""
    command = ["git", "show", f"HEAD:./{key}"]
    try:
        shown = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, errors="replace")
    except FileNotFoundError:  # git is not installed
        return None
    return shown.stdout if shown.returncode == 0 else None


def _is_edited(path: Path, paired: str | None, in_git: bool) -> bool:
    """Whether a form differs from the last pairing and from git's last commit; a file that git does not know is new."""
    digest = _digest(path)
    if digest in (None, paired):
        return False
    committed = _committed(_key(path)) if in_git else None
    if committed is None:
        return True
    try:
        return digest != _digest_of(parse_notebook(committed, _form(path)))
    except DataError:  # conflict markers were committed
        return True


def _later(script: Path, notebook: Path) -> Path:
    """The form that was written later, or the script if both have the same time; a copy of the other one is kept."""
    later = notebook if notebook.stat().st_mtime > script.stat().st_mtime + 1 else script
    other = script if later == notebook else notebook
    kept = project_path(REPLACED) / _key(other)
    write_text(kept, other.read_text(encoding="utf-8"))
    return later


def _digest(path: Path) -> str | None:
    return _digest_of(read_notebook(path, _form(path))) if path.is_file() else None


def _form(path: Path) -> str:
    return "ipynb" if path.suffix == ".ipynb" else "py:percent"


def _digest_of(notebook: nbformat.NotebookNode) -> str:
    """Digest of kind, source and tags of every cell; equal for both forms of a notebook."""
    cells = [(cell.cell_type, cell.source, list(cell.metadata.get("tags", ()))) for cell in notebook.cells]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:16]


def _last_pairing() -> dict[str, str]:
    try:
        return dict(read_json(project_path(RECORD)))
    except (DataError, TypeError, ValueError):  # a fresh clone, or a damaged file: git's last commit decides
        return {}


def _key(path: Path) -> str:
    return path.relative_to(project_root()).as_posix()
