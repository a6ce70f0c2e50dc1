"""Start the ranks of a run from any process: a notebook's kernel, a stage of the pipeline, a shell.

They run on this machine, or where the command in ``$TOPOKD_LAUNCHER`` starts them: on a cluster, an ``srun`` that
`topokd slurm` writes for the nodes of a job, followed by the interpreter.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from topokd import errors
from topokd import params as P
from topokd.errors import ParameterError, TrainingError
from topokd.io import read_json
from topokd.project import LAUNCHER
from topokd.stopping import TERMINATED, VARIABLE, Stopped, StopRequest, die_with_parent
from topokd.training.distributed import RENDEZVOUS
from topokd.training.run import Run

GRACE = 60.0  # seconds to end in after a request to stop, or after another rank failed


def launch(run: Run) -> dict[str, Any]:
    """Train a run with ``train.ranks`` processes, and return its record.

    A request to stop this process (`topokd.stopping`) is passed on. The ranks end with this process, however it ends.

    Raises:
        ParameterError: there are fewer GPUs than ranks.
        Stopped: the ranks were asked to stop, and the state is saved.
        TopokdError: what a rank raised.
        TrainingError: a rank died, or the launcher cannot be run.
    """
    launcher = shlex.split(os.environ.get(LAUNCHER, ""))
    if not launcher:
        _check_gpus(run.params)
    with _folder(run, bool(launcher)) as folder, contextlib.closing(_Watch()) as stop:
        P.dump(run.params, folder / "params.yaml")
        arguments = [str(folder), run.row, str(run.seed), str(int(run.params.by_hand))]
        with _started(run.params.train.ranks, launcher, arguments) as processes:
            _wait(processes, stop.request, signal.SIGUSR1 if launcher else signal.SIGTERM)
        _raise_error(folder, [process.returncode for process in processes], stop.request)
    return read_json(run.record)


def _check_gpus(params: P.Params) -> None:
    ranks = params.train.ranks
    if torch.cuda.is_available() and torch.cuda.device_count() < ranks:
        raise ParameterError(
            f"train.ranks is {ranks} and this machine has {torch.cuda.device_count()} GPU: set train.ranks in "
            f"conf/{params.profile}.yaml to the number of GPUs; with train.sync_batchnorm it changes rounding only"
        )


@contextlib.contextmanager
def _folder(run: Run, several_nodes: bool) -> Iterator[Path]:
    """A folder for the ranks' parameters and errors, which all of them see."""
    shared = run.params.workspace / "ranks" if several_nodes else None
    if shared is not None:
        shared.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="topokd-ranks-", dir=shared) as name:
        yield Path(name)


class _Watch:
    """`StopRequest` with the names of `contextlib.closing`."""

    def __init__(self) -> None:
        self.request = StopRequest()
        self.request.open()

    def close(self) -> None:
        self.request.close()


@contextlib.contextmanager
def _started(ranks: int, launcher: Sequence[str], arguments: Sequence[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes of the ranks, or that of the launcher; those still running at the end are killed."""
    module = ["-m", "topokd.training", *arguments]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        if launcher:
            processes.append(_run_launcher([*launcher, *module]))
        else:
            for rank in range(ranks):
                given = {"RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_RANK": str(rank)}
                given[RENDEZVOUS] = Path(arguments[0], "rendezvous").as_uri()
                processes.append(subprocess.Popen([sys.executable, *module], env={**os.environ, **given}))
        yield processes
    finally:
        for process in processes:
            if launcher and process.poll() is None:  # killed, srun would leave its tasks running
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE)
            process.kill()
            process.wait()


def _run_launcher(command: list[str]) -> subprocess.Popen[bytes]:
    """Start the launcher, which passes its environment on to the ranks.

    The folder in ``$TOPOKD_STOP`` is not on other nodes: ranks are asked to stop by a signal. Rank 0 runs on this node,
    so a port that is free here is free for it.
    """
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    with socket.socket() as listener:
        listener.bind(("", 0))
        environment["MASTER_PORT"] = str(listener.getsockname()[1])
    try:
        return subprocess.Popen(command, env=environment, preexec_fn=die_with_parent)
    except OSError as error:
        raise TrainingError(
            f"{command[0]}, which starts the ranks of a training on several nodes, cannot be run ({error}): inside a "
            "container, SLURM's commands, their libraries, configuration and munge's socket have to be bound "
            "(docs/hpc.md); or let the ranks run on one node, by train.ranks and `nodes: 1` in the cluster's file"
        ) from error


def _wait(processes: list[subprocess.Popen[bytes]], stop: StopRequest, number: signal.Signals) -> None:
    """Wait until all have ended; when one fails or a stop is asked for, ask all to stop by signal ``number``."""
    deadline = None
    while any(process.poll() is None for process in processes):
        if deadline is None and (stop.requested() or any(process.poll() for process in processes)):
            deadline = time.monotonic() + GRACE
            for process in processes:
                process.send_signal(number)
        if deadline is not None and time.monotonic() > deadline:
            return
        time.sleep(0.05)


def _raise_error(folder: Path, statuses: list[int | None], stop: StopRequest) -> None:
    """The first error that a rank noted; one that only lost the others says nothing."""
    noted = [read_json(file) for file in sorted(folder.glob("error-*.json"))]
    if not noted and not any(statuses):
        return
    for note in noted:
        kind = getattr(errors, note["kind"], None)
        if note["kind"] == "Stopped" and stop.requested():
            raise Stopped(note["message"], stop.status)
        if kind is not None:
            raise kind(note["message"])
    if noted and not any(statuses):  # by a launcher: SLURM has asked the ranks before this process
        raise Stopped(noted[0]["message"], stop.status)
    if stop.requested() or statuses == [TERMINATED]:
        raise Stopped("stopped by a signal before the first step", stop.status)
    words = "; ".join(f"{note['kind']}: {note['message'].splitlines()[0]}" for note in noted if note["message"])
    names = [f"rank {rank}" for rank in range(len(statuses))] if len(statuses) > 1 else ["the launcher"]
    killed = ", ".join(f"{name} {status}" for name, status in zip(names, statuses, strict=True) if status)
    raise TrainingError(
        f"a rank died (exit status: {killed}){'; ' + words if words else ''}: the output above says more; "
        "-9 or 137 means that the system ended it, most often for lack of memory. Then restart the run: it resumes"
    )
