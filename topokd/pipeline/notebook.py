"""Execute one notebook so that equal inputs give equal bytes.

papermill alone writes timings and random identifiers into what it executes, passes no signal on to the kernel and
creates no folder. :func:`run_notebook` executes the percent script (what the pipeline depends on), drops all that
differs from run to run, writes the executed copy atomically, and leaves duration, device and versions in a record of
their own beside the results.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from traitlets.config import Config

from topokd import params as P
from topokd import project
from topokd.errors import DataError, TopokdError
from topokd.io import write_json, write_text
from topokd.pipeline.progress import show_progress
from topokd.pipeline.provenance import environment_record

PAIRED_METADATA = {
    "jupytext": {"formats": "ipynb,py:percent"},
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
}


class NotebookError(TopokdError):
    """A cell raised; the message is that error's own, the executed part of the notebook is kept."""


def run_notebook(script: str | Path, parameters: dict[str, Any], output: str | Path) -> float:
    """Execute ``script`` (a percent ``.py`` or an ``.ipynb``) with ``parameters`` and write the executed copy.

    Args:
        script: path of the notebook, relative to the project.
        parameters: values for the cell tagged ``parameters``; ``params_file`` names the resolved parameters.
        output: path of the executed ``.ipynb``; equal inputs give equal bytes on one machine.

    Returns:
        Seconds taken.

    Raises:
        NotebookError: a cell failed; what had run so far is kept under ``workspace/<profile>/failed/``.
        DataError: the notebook does not exist.
    """
    import papermill
    from matplotlib import font_manager  # noqa: F401  (builds its cache now, not with a message inside the notebook)

    script, output = project.project_path(script), project.project_path(output)
    if not script.is_file():
        raise DataError(f"notebook {script} does not exist; the notebooks are in {project.project_path('notebooks')}")
    unknown = set(parameters) - declared_parameters(script)
    if unknown:
        raise DataError(f"{script.name} has no parameter {', '.join(sorted(unknown))} in its `parameters` cell")
    params = P.load(parameters.get("params_file", "params.yaml"))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="topokd-") as folder, _environment(params), show_progress(output.stem):
        source, executed = Path(folder, "source.ipynb"), Path(folder, "executed.ipynb")
        notebook = jupytext.read(script)
        notebook.metadata.update(PAIRED_METADATA)
        nbformat.write(with_stable_ids(notebook), source)
        try:
            papermill.execute_notebook(
                source,
                executed,
                parameters=parameters,
                cwd=project.project_root(),
                kernel_name="python3",
                progress_bar=False,
                config=_local_sockets(folder),
            )
        except papermill.PapermillExecutionError as error:
            kept = params.workspace / "failed" / output.name
            write_text(kept, nbformat.writes(clean(nbformat.read(executed, as_version=4))))
            raise NotebookError(f"{script.name}: {error.ename}: {error.evalue}\n(executed so far: {kept})") from error
        text = nbformat.writes(clean(nbformat.read(executed, as_version=4)))
    write_text(output, text + "\n")
    seconds = time.perf_counter() - started
    record = {
        "notebook": script.name,
        "parameters": parameters,
        "seconds": round(seconds, 1),
        **environment_record(params),
    }
    write_json(params.results / "provenance" / f"{output.stem}.json", record)
    return seconds


def _local_sockets(folder: str) -> Config:
    """The kernel listens on sockets in a folder of its own: no open ports, no race with a kernel beside it."""
    return Config({"KernelManager": {"transport": "ipc", "ip": str(Path(folder, "kernel"))}})


@contextlib.contextmanager
def _environment(params: P.Params) -> Iterator[None]:
    """The kernel's environment: one number of threads, no random hashing; SIGTERM ends the kernel too."""
    threads = str(params.train.threads)
    wanted = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "PYTHONHASHSEED": "0",
        "PLOTLY_RENDERER": "plotly_mimetype",
        "TOPOKD_ROOT": str(project.project_root()),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGTERM, _interrupt) if in_main else None
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, handler)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt  # lets papermill shut its kernel down, so that no training goes on without its parent


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what differs from run to run (timings, identifiers) and join neighbouring pieces of one output stream."""
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
    """Give each cell an identifier made from its place and source."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for index, cell in enumerate(notebook.cells):
        cell["id"] = hashlib.sha256(f"{index}:{cell.cell_type}:{cell.source}".encode()).hexdigest()[:12]
    return notebook


def declared_parameters(script: Path) -> set[str]:
    """Names assigned in the notebook's cell tagged ``parameters``."""
    import ast

    for cell in jupytext.read(script).cells:
        if "parameters" in cell.metadata.get("tags", ()):
            nodes = [node for node in ast.parse(cell.source).body if isinstance(node, ast.Assign | ast.AnnAssign)]
            targets = [t for node in nodes for t in (node.targets if isinstance(node, ast.Assign) else [node.target])]
            return {target.id for target in targets if isinstance(target, ast.Name)}
    return set()
