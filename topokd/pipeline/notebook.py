"""Execute one notebook so that equal inputs give equal bytes.

papermill executes the cells, but it writes timings and random identifiers into the executed copy, does not pass signals
to the kernel, and does not create folders. `run_notebook` executes the percent script (which the pipeline depends on),
removes everything that differs from run to run, writes the executed copy atomically, and writes duration, device and
versions to a separate record next to the results.
"""

from __future__ import annotations

import contextlib
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import NoSuchKernel
from nbclient.exceptions import DeadKernelError
from traitlets.config import Config

from topokd import params as P
from topokd.checks import available_memory
from topokd.energy import EnergyMeter
from topokd.errors import DataError, TopokdError
from topokd.io import remove_partial_files, write_json, write_text
from topokd.pipeline import lock_file
from topokd.pipeline.allocator import allocator_environment, allocator_name, jemalloc
from topokd.pipeline.kernel_signals import KernelSignals
from topokd.pipeline.notebook_file import PAIRED_METADATA, clean, read_notebook, with_stable_ids
from topokd.pipeline.progress import earlier_seconds, show_progress
from topokd.pipeline.provenance import environment_record
from topokd.project import project_path, project_root
from topokd.stopping import VARIABLE, Stopped

PARAMS_FILE = "params_file"
START_VARIABLE = "TOPOKD_KERNEL_START"
"""Environment variable with the number of seconds that a kernel may take to start."""


class NotebookError(TopokdError):
    """A cell raised an error; the message is that error's, and the executed part of the notebook is kept."""


def run_notebook(script: str | Path, parameters: dict[str, Any], output: str | Path) -> float:
    """Execute ``script`` (a percent ``.py`` or an ``.ipynb``) with ``parameters`` and write the executed copy.

    Args:
        script: path of the notebook, relative to the project's folder.
        parameters: values for the cell tagged ``parameters``; ``params_file``, which every notebook has, is the
            path of the resolved parameters. If a notebook has ``save``, it is set, so that results and figures are
            written to the project.
        output: path of the executed ``.ipynb``; equal inputs give equal bytes on one machine.

    Returns:
        Seconds taken, including those of stopped processes whose training was resumed.

    Raises:
        NotebookError: a cell failed, or the kernel died or did not start; the part that ran is kept under
            ``workspace/<profile>/failed/``.
        Stopped: by SIGTERM, SIGUSR1 or Ctrl-C, after the training, if one was running, has saved its state (unless it
            took too long).
        DataError: the notebook does not exist.
    """
    import papermill
    from matplotlib import font_manager  # noqa: F401  (builds its cache now, not with a message inside the notebook)

    script, output = project_path(script), project_path(output)
    if not script.is_file():
        raise DataError(f"notebook {script} does not exist; the notebooks are in {project_path('notebooks')}")
    _check_output(script, output)
    notebook = read_notebook(script)
    if not isinstance(parameters[PARAMS_FILE], str):
        raise DataError(f"{PARAMS_FILE} is {parameters[PARAMS_FILE]!r}: give the path of a parameter file")
    params = P.load(parameters[PARAMS_FILE])
    for written in (params.results, params.figures, params.workspace):
        remove_partial_files(written)
    lock_file.keep()
    started, energy = time.perf_counter(), EnergyMeter()
    with (
        tempfile.TemporaryDirectory(prefix="topokd-", dir=_temporary_folder()) as folder,
        _environment(params, folder) as signals,
        show_progress(output.stem),
    ):
        source, executed = Path(folder, "source.ipynb"), Path(folder, "executed.ipynb")
        notebook.metadata.update(PAIRED_METADATA)
        nbformat.write(with_stable_ids(notebook), source)
        known = set(papermill.inspect_notebook(source))
        if PARAMS_FILE not in known:  # a user's own notebook
            parameters = {name: value for name, value in parameters.items() if name != PARAMS_FILE}
        unknown = set(parameters) - known
        if unknown:
            raise DataError(f"{script.name} has no parameter {', '.join(sorted(unknown))} in its `parameters` cell")
        with _errors_explained(script, executed, params.workspace / "failed" / output.name, signals):
            papermill.execute_notebook(
                source,
                executed,
                parameters={**parameters, **({"save": True} if "save" in known else {})},
                cwd=project_root(),
                kernel_name="python3",
                progress_bar=False,
                config=_local_sockets(folder),
                start_timeout=_seconds_to_start(),
            )
        text = nbformat.writes(clean(nbformat.read(executed, as_version=4)))
        earlier = earlier_seconds()
    write_text(output, text + "\n")
    seconds = time.perf_counter() - started + earlier
    record = {
        "notebook": script.name,
        "parameters": parameters,
        "seconds": round(seconds, 1),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000),  # Linux counts in kB
        "allocator": allocator_name({**os.environ, **allocator_environment(os.environ, jemalloc())}),
        "joules": {name: round(value) for name, value in energy.joules().items()},
        **environment_record(params),
    }
    write_json(params.results / "provenance" / f"{output.stem}.json", record)
    return seconds


@contextlib.contextmanager
def _errors_explained(script: Path, executed: Path, kept: Path, signals: KernelSignals) -> Iterator[None]:
    """Turn the errors of papermill and of Jupyter into those that `run_notebook` documents.

    Args:
        script: the notebook, for messages.
        executed: the copy that papermill writes.
        kept: where the part that ran is kept if a cell fails or the kernel dies.
        signals: the signals that may have stopped the notebook.
    """
    import papermill

    kept.unlink(missing_ok=True)  # that of an earlier failure
    try:
        try:
            yield
        except Exception as error:
            if signals.ended:  # whatever papermill says of the killed kernel
                raise KeyboardInterrupt from error
            raise
    except KeyboardInterrupt as error:
        raise Stopped(f"{script.name}: stopped by a signal", signals.status) from error
    except NoSuchKernel as error:
        raise NotebookError(
            f"{script.name}: Jupyter has no kernel named python3 for this Python: pip install ipykernel, or "
            "python -m ipykernel install --sys-prefix"
        ) from error
    except DeadKernelError as error:
        if executed.is_file():
            _keep_executed(executed, kept)
        raise NotebookError(_kernel_died(script, kept)) from error
    except (RuntimeError, TimeoutError) as error:
        if "before replying to kernel_info" not in str(error) and "respond in" not in str(error):
            raise
        raise NotebookError(
            f"{script.name}: the Jupyter kernel did not start within {_seconds_to_start()} s: the machine or its "
            f"file system is very busy, or ipykernel is broken; set {START_VARIABLE} to more seconds"
        ) from error
    except papermill.PapermillExecutionError as error:
        if error.ename == Stopped.__name__:
            raise Stopped(f"{script.name}: {error.evalue}", signals.status) from error
        _keep_executed(executed, kept)
        raise NotebookError(f"{script.name}: {error.ename}: {error.evalue}\n(the part that ran: {kept})") from error


def _keep_executed(executed: Path, kept: Path) -> None:
    """Copy the part of a notebook that ran."""
    write_text(kept, nbformat.writes(clean(nbformat.read(executed, as_version=4))))


def _check_output(script: Path, output: Path) -> None:
    """Raise an error, before the notebook runs, for an output that is a folder, another kind of file, or its source.

    Raises:
        DataError: names the output.
    """
    if output.suffix != ".ipynb":
        raise DataError(f"{output}: the executed copy is an .ipynb file; give it such a name (--output)")
    if output.resolve() in (script.resolve(), script.with_suffix(".ipynb").resolve()):
        raise DataError(f"{output} is the notebook itself, which its executed copy would replace: choose another name")
    if output.is_dir():
        raise DataError(f"{output} is a folder: choose another name for the executed copy (--output)")


def _seconds_to_start() -> int:
    """How long to wait for the kernel: Python starts slowly on a busy node and from a cold network file system."""
    text = os.environ.get(START_VARIABLE, "600")
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 10**6:
        raise DataError(f"{START_VARIABLE} is {text!r}: set it to a number of seconds, or unset it")
    return int(text)


def _kernel_died(script: Path, kept: Path) -> str:
    """The message for a kernel that ended without raising an error."""
    there = available_memory()
    memory = f" ({there / 1e9:.1f} GB are free now)" if there is not None else ""
    executed = f"\n(the part that ran: {kept})" if kept.is_file() else ""
    return (
        f"{script.name}: the Jupyter kernel was killed, most often by the system because memory ran out{memory}; "
        "`dmesg` or the job's log says so. Run fewer stages at a time (--jobs 1), use smaller batches or scans, or "
        f"request more memory (SLURM: --mem){executed}"
    )


def _temporary_folder() -> str | None:
    """None for the usual temporary folder; /tmp if its path is too long for a socket (107 bytes)."""
    usual = tempfile.gettempdir()
    return "/tmp" if len(usual.encode()) > 70 and os.access("/tmp", os.W_OK) else None


def _local_sockets(folder: str) -> Config:
    """Settings for a kernel that listens on sockets in its own folder: no open ports, no race with another kernel."""
    return Config({"KernelManager": {"transport": "ipc", "ip": str(Path(folder, "kernel"))}})


@contextlib.contextmanager
def _environment(params: P.Params, folder: str) -> Iterator[KernelSignals]:
    """Environment of the kernel: fixed number of threads, no random hashing; signals reach the training in it."""
    threads = str(params.train.threads)
    wanted = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "PYTHONHASHSEED": "0",
        "PLOTLY_RENDERER": "plotly_mimetype",
        "TOPOKD_ROOT": str(project_root()),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        **allocator_environment(os.environ, jemalloc()),
        VARIABLE: folder,
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        with KernelSignals(Path(folder)) as signals:
            yield signals
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
