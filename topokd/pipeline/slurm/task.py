"""One stage inside a job of SLURM."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from pathlib import Path

from topokd import params as P
from topokd.errors import ParameterError
from topokd.pipeline.slurm.jobs import attempt, this_job, write_outcome
from topokd.pipeline.stage import run_stage
from topokd.project import results_path
from topokd.stopping import INTERRUPTED, TERMINATED, die_with_parent


def run_task(profile: str, address: str) -> int:
    """Run a stage and record its outcome next to the logs.

    Args:
        profile: Name.
        address: Of the stage.

    Returns:
        Exit status; 143: stopped by a signal, state saved.
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
    """Name a home folder that can be written, where a compute node has none: Jupyter and Matplotlib need one.

    Compiled kernels are kept by processor and sources (`topokd._kernel_cache`), so tasks on any node can share a home.
    """
    home = os.environ.get("HOME", "")
    if not home or not os.access(home, os.W_OK | os.X_OK):
        node = Path(tempfile.gettempdir(), f"topokd-home-{os.getuid()}")
        node.mkdir(mode=0o700, exist_ok=True)
        os.environ["HOME"] = str(node)


def _check_threads(profile: str) -> None:
    """Results depend on ``train.threads``, so a smaller allocation is an error, not a reason to use fewer."""
    allocated = int(os.environ.get("SLURM_CPUS_PER_TASK") or 0)
    threads = P.load(results_path(profile) / "params.yaml").train.threads
    if 0 < allocated < threads:
        raise ParameterError(
            f"the task has {allocated} cores and train.threads of profile {profile} is {threads}: set `cpus` in the "
            "cluster's file to that at least, or to 0"
        )
