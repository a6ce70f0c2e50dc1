"""The file of a notebook: read in either form, and without what differs from run to run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import jupytext
import nbformat

from topokd.errors import DataError

PAIRED_METADATA = {
    "jupytext": {"formats": "ipynb,py:percent"},
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
}


def read_notebook(path: Path, form: str | None = None) -> nbformat.NotebookNode:
    """A notebook in either form.

    Args:
        path: the file.
        form: see `parse_notebook`; None: by the suffix.

    Raises:
        DataError: the file is not one.
    """
    try:
        return parse_notebook(path.read_bytes(), form or path.suffix.removeprefix("."))
    except DataError as error:
        raise DataError(f"{path} is not a notebook that can be read: {error}") from error


def parse_notebook(text: str | bytes, form: str) -> nbformat.NotebookNode:
    """A notebook from its text.

    Args:
        text: as it is in the file.
        form: "ipynb", "py:percent", or "py": of whichever kind of script it is.

    Raises:
        DataError: it is not one: other JSON, conflict markers of git, not text.
    """
    try:
        notebook = jupytext.reads(text.decode() if isinstance(text, bytes) else text, fmt=form)
        if not all(isinstance(cell.cell_type, str) and isinstance(cell.source, str) for cell in notebook.cells):
            raise ValueError("a cell has no kind or no text")
        return notebook
    except Exception as error:  # nbformat and jupytext fail in many ways on JSON that is not a notebook
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(reason) from error


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove timings and identifiers, which differ from run to run, and join the pieces of each output stream."""
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": list(tags)} if tags else {})
        if cell.cell_type != "code":
            continue
        joined: list[nbformat.NotebookNode] = []
        for item in cell.outputs:
            if item.output_type == "stream" and joined and joined[-1].get("name") == item.name:
                joined[-1].text += item.text
            else:
                joined.append(item)
        cell.outputs = joined
    return with_stable_ids(notebook)


def with_stable_ids(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Give each cell an identifier derived from its position and source."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for index, cell in enumerate(notebook.cells):
        cell["id"] = hashlib.sha256(f"{index}:{cell.cell_type}:{cell.source}".encode()).hexdigest()[:12]
    return notebook
