"""Start the ranks of a run on this machine, from any process: a notebook's kernel, a stage of the pipeline, a shell."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from topokd import errors
from topokd import params as P
from topokd.errors import ParameterError, TrainingError
from topokd.io import read_json
from topokd.stopping import Stopped, StopRequest
from topokd.training.distributed import RENDEZVOUS
from topokd.training.run import Run

GRACE = 60.0  # seconds to end in after a request to stop, or after another rank failed


def launch(run: Run) -> dict[str, Any]:
    """Train a run with ``train.ranks`` processes, and return its record.

    A request to stop this process (`topokd.stopping`) is passed on. The ranks end with this process, however it ends.

    Raises:
        ParameterError: There are fewer GPUs than ranks.
        Stopped: The ranks were asked to stop, and the state is saved.
        TopokdError: What a rank raised.
        TrainingError: A rank died.
    """
    ranks = run.params.train.ranks
    if torch.cuda.is_available() and torch.cuda.device_count() < ranks:
        raise ParameterError(
            f"train.ranks is {ranks} and this machine has {torch.cuda.device_count()} GPU: set train.ranks in "
            f"conf/{run.params.profile}.yaml to the number of GPUs; with train.sync_batchnorm it changes rounding only"
        )
    with tempfile.TemporaryDirectory(prefix="topokd-ranks-") as name, contextlib.closing(_Watch()) as stop:
        folder = Path(name)
        P.dump(run.params, folder / "params.yaml")
        with _started(run, folder) as processes:
            _wait(processes, stop.request)
        _raise_error(folder, [process.returncode for process in processes], stop.request)
    return read_json(run.record)


class _Watch:
    """`StopRequest` with the names of `contextlib.closing`."""

    def __init__(self) -> None:
        self.request = StopRequest()
        self.request.open()

    def close(self) -> None:
        self.request.close()


@contextlib.contextmanager
def _started(run: Run, folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes; those still running at the end are killed."""
    size = run.params.train.ranks
    command = [
        sys.executable,
        "-m",
        "topokd.training",
        str(folder),
        run.row,
        str(run.seed),
        str(int(run.params.by_hand)),
    ]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(size):
            given = {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank)}
            given[RENDEZVOUS] = (folder / "rendezvous").as_uri()
            if rank > 0:  # one rank reports progress
                given["TOPOKD_PROGRESS"] = str(folder / f"progress-{rank}")
            processes.append(subprocess.Popen(command, env={**os.environ, **given}))
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _wait(processes: list[subprocess.Popen[bytes]], stop: StopRequest) -> None:
    """Wait until all have ended; when one fails or a stop is asked for, ask all of them to stop."""
    deadline = None
    while any(process.poll() is None for process in processes):
        if deadline is None and (stop.requested() or any(process.poll() for process in processes)):
            deadline = time.monotonic() + GRACE
            for process in processes:
                process.terminate()
        if deadline is not None and time.monotonic() > deadline:
            return
        time.sleep(0.05)


def _raise_error(folder: Path, statuses: list[int | None], stop: StopRequest) -> None:
    """The first error that a rank noted; one that only lost the others says nothing."""
    if not any(statuses):
        return
    noted = [read_json(file) for file in sorted(folder.glob("error-*.json"))]
    for note in noted:
        kind = getattr(errors, note["kind"], None)
        if note["kind"] == "Stopped" and stop.requested():
            raise Stopped(note["message"], stop.status)
        if kind is not None:
            raise kind(note["message"])
    if stop.requested():
        raise Stopped("stopped by a signal before the first step", stop.status)
    words = "; ".join(f"{note['kind']}: {note['message'].splitlines()[0]}" for note in noted if note["message"])
    killed = ", ".join(f"rank {rank} {status}" for rank, status in enumerate(statuses) if status)
    raise TrainingError(
        f"a rank died (exit status: {killed}){'; ' + words if words else ''}: the output above says more; "
        "-9 means that the system ended it, most often for lack of memory. Then restart the run: it resumes"
    )
