"""One stage inside a job of SLURM."""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
import time
from pathlib import Path

from topokd import params as P
from topokd.errors import ParameterError
from topokd.io import sha256
from topokd.pipeline.slurm.jobs import attempt, this_job, write_outcome
from topokd.pipeline.stage import TERMINATED, die_with_parent, run_stage
from topokd.project import results_path


def run_task(profile: str, address: str) -> int:
    """Run a stage and note its outcome beside the logs.

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
        state = {0: "done", TERMINATED: "stopped"}.get(status, "failed")
    except SystemExit:  # SIGTERM while it waited for DVC's lock
        state, status = "stopped", TERMINATED
    finally:
        write_outcome(profile, address, state, status)
        print(f"=== {address} {state} · {time.strftime('%F %T')}", flush=True)
    return status


def use_node_folders() -> None:
    """Keep what programs cache in a folder of this node, named after the sources that it was compiled from.

    Kernels compiled on one processor may not run on another, sources may be read-only, and deleting stale kernels
    beside shared sources would take them from other tasks. Other sources have another folder; nothing is deleted.
    ``HOME`` may be unset or not exist on a compute node.
    """
    node = Path(os.environ.get("TOPOKD_NODE_FOLDER") or Path(tempfile.gettempdir(), f"topokd-{os.getuid()}"))
    node.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(node / f"kernels-{_sources_digest()}"))
    home = os.environ.get("HOME", "")
    if not home or not os.access(home, os.W_OK):
        os.environ["HOME"] = str(node)


def _sources_digest() -> str:
    package = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for source in sorted(package.rglob("*.py")):
        digest.update(f"{source.relative_to(package).as_posix()}:{sha256(source)}\n".encode())
    return digest.hexdigest()[:12]


def _check_threads(profile: str) -> None:
    """Results depend on ``train.threads``, so a smaller allocation is an error, not a reason to use fewer."""
    allocated = int(os.environ.get("SLURM_CPUS_PER_TASK") or 0)
    threads = P.load(results_path(profile) / "params.yaml").train.threads
    if 0 < allocated < threads:
        raise ParameterError(
            f"the task has {allocated} cores and train.threads of profile {profile} is {threads}: set `cpus` in the "
            "cluster's file to that at least, or to 0"
        )
