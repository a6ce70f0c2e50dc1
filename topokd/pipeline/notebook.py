"""Execute one notebook so that equal inputs give equal bytes.

papermill executes the cells. Alone, it writes timings and random identifiers into the executed copy, does not pass
signals to the kernel, and does not create folders. `run_notebook` executes the percent script (which the pipeline
depends on), removes everything that differs from run to run, writes the executed copy atomically, and puts duration,
device and versions into a separate record beside the results.
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
from topokd.errors import DataError, TopokdError
from topokd.io import write_json, write_text
from topokd.pipeline.progress import show_progress
from topokd.pipeline.provenance import environment_record
from topokd.project import project_path, project_root

PAIRED_METADATA = {
    "jupytext": {"formats": "ipynb,py:percent"},
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
}


class NotebookError(TopokdError):
    """A cell raised an error; the message is that error's, and the executed part of the notebook is kept."""


def run_notebook(script: str | Path, parameters: dict[str, Any], output: str | Path) -> float:
    """Execute ``script`` (a percent ``.py`` or an ``.ipynb``) with ``parameters`` and write the executed copy.

    Args:
        script: path of the notebook, relative to the project's folder.
        parameters: values for the cell tagged ``parameters``; ``params_file``, which every notebook has, names the
            resolved parameters. ``save`` is set where a notebook has it: results and figures go into the project.
        output: path of the executed ``.ipynb``; equal inputs give equal bytes on one machine.

    Returns:
        Seconds taken.

    Raises:
        NotebookError: a cell failed; the part that ran is kept under ``workspace/<profile>/failed/``.
        DataError: the notebook does not exist.
    """
    import papermill
    from matplotlib import font_manager  # noqa: F401  (builds its cache now, not with a message inside the notebook)

    script, output = project_path(script), project_path(output)
    if not script.is_file():
        raise DataError(f"notebook {script} does not exist; the notebooks are in {project_path('notebooks')}")
    params = P.load(parameters["params_file"])
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="topokd-") as folder, _environment(params), show_progress(output.stem):
        source, executed = Path(folder, "source.ipynb"), Path(folder, "executed.ipynb")
        notebook = jupytext.read(script)
        notebook.metadata.update(PAIRED_METADATA)
        nbformat.write(with_stable_ids(notebook), source)
        known = set(papermill.inspect_notebook(source))
        unknown = set(parameters) - known
        if unknown:
            raise DataError(f"{script.name} has no parameter {', '.join(sorted(unknown))} in its `parameters` cell")
        try:
            papermill.execute_notebook(
                source,
                executed,
                parameters={**parameters, **({"save": True} if "save" in known else {})},
                cwd=project_root(),
                kernel_name="python3",
                progress_bar=False,
                config=_local_sockets(folder),
            )
        except papermill.PapermillExecutionError as error:
            kept = params.workspace / "failed" / output.name
            write_text(kept, nbformat.writes(clean(nbformat.read(executed, as_version=4))))
            raise NotebookError(f"{script.name}: {error.ename}: {error.evalue}\n(the part that ran: {kept})") from error
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
    """Settings for a kernel that listens on sockets in its own folder: no open ports, no race with another kernel."""
    return Config({"KernelManager": {"transport": "ipc", "ip": str(Path(folder, "kernel"))}})


@contextlib.contextmanager
def _environment(params: P.Params) -> Iterator[None]:
    """Environment of the kernel: fixed number of threads, no random hashing; SIGTERM ends the kernel too."""
    threads = str(params.train.threads)
    wanted = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "PYTHONHASHSEED": "0",
        "PLOTLY_RENDERER": "plotly_mimetype",
        "TOPOKD_ROOT": str(project_root()),
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
    raise KeyboardInterrupt  # papermill then shuts its kernel down, so that training stops with it


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
