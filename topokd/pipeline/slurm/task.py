"""One stage inside a job of SLURM."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import time
from pathlib import Path

from topokd import params as P
from topokd.errors import ParameterError
from topokd.io import is_private
from topokd.pipeline.slurm.jobs import attempt, this_job, write_outcome
from topokd.pipeline.stage import run_stage
from topokd.project import results_path
from topokd.stopping import INTERRUPTED, TERMINATED, die_with_parent


def run_task(profile: str, address: str) -> int:
    """Run a stage and record its outcome next to the logs.

    Args:
        profile: name of the profile.
        address: address of the stage.

    Returns:
        Exit status; 143: stopped by a signal, with the state saved.
    """
    die_with_parent()
    print(
        f"=== {address} · job {this_job()} · attempt {attempt()} · {socket.gethostname()} · {time.strftime('%F %T')}",
        flush=True,
    )
    use_node_folders()
    _check_threads(profile)
    write_outcome(profile, address, "running")
    state, status = "failed", 1
    try:
        status = run_stage(address)
        state = {0: "done", TERMINATED: "stopped", INTERRUPTED: "stopped"}.get(status, "failed")
    except SystemExit:  # SIGTERM while it waited for DVC's lock
        state, status = "stopped", TERMINATED
    finally:
        write_outcome(profile, address, state, status)
        print(f"=== {address} {state} · {time.strftime('%F %T')}", flush=True)
    return status


def use_node_folders() -> None:
    """Set $HOME to a writable folder if a compute node has none, because Jupyter and Matplotlib need one.

    Compiled kernels are kept by processor and sources (`topokd.compiled.cache`), so tasks on any node can share a home.
    """
    home = os.environ.get("HOME", "")
    if not home or not os.access(home, os.W_OK | os.X_OK):
        node = Path(tempfile.gettempdir(), f"topokd-home-{os.getuid()}")
        with contextlib.suppress(FileExistsError):
            node.mkdir(mode=0o700)
        if not is_private(node.lstat()):  # anyone can put a folder or a link there, and code in a home is executed
            node = Path(tempfile.mkdtemp(prefix=f"{node.name}-"))
        os.environ["HOME"] = str(node)


def _check_threads(profile: str) -> None:
    """Raise `ParameterError` if the task has fewer cores than ``train.threads``, on which the results depend."""
    allocated = int(os.environ.get("SLURM_CPUS_PER_TASK") or 0)
    threads = P.load(results_path(profile) / "params.yaml").train.threads
    if 0 < allocated < threads:
        raise ParameterError(
            f"the task has {allocated} cores, but train.threads of profile {profile} is {threads}: set `cpus` in the "
            "cluster's file to at least that, or to 0"
        )
