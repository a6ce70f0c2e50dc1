"""Ways to start a training with two ranks, as a user would, and to end it early."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from tests.conftest import PROJECT
from topokd import params as P
from topokd.io import sha256
from topokd.training import train_teacher
from topokd.training.run import Run

NOTEBOOK = """\
# %% tags=["parameters"]
params_file = "params.yaml"
# %%
from topokd import params as P
from topokd.training import train_teacher
train_teacher(P.load(params_file), 0)
"""


def two_ranks(params: P.Params) -> P.Params:
    """Long enough to be stopped in time: 40 steps on two ranks, with a state after every second one."""
    data = params.data.replace(crop_voxels=0, voxel_size=0.5)
    train = params.train.replace(teacher_steps=40, batch_size=2, ranks=2, checkpoint_every=2, validate_every=20)
    return params.replace(data=data, train=train)


def uninterrupted(params: P.Params) -> str:
    """Digest of the weights of an uninterrupted run; nothing of it is left."""
    train_teacher(params, 0)
    run = Run("teacher", 0, params)
    digest = sha256(run.checkpoint)
    run.checkpoint.unlink()
    for state in run.resume.rglob("state.pt"):
        state.unlink()
    return digest


def torchrun(params: P.Params, folder: Path) -> list[str]:
    """The command with torchrun."""
    P.dump(params, folder / "params.yaml")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return [*launcher, "-m", "topokd.training", str(folder), "teacher", "0", "0"]


def notebook(params: P.Params, folder: Path) -> list[str]:
    """The command that runs a notebook, which starts the ranks itself."""
    P.dump(params, folder / "results/default/params.yaml")
    (folder / "dvc.yaml").write_text("stages: {}\n")
    (folder / "topokd").mkdir(exist_ok=True)
    (folder / "n.py").write_text(NOTEBOOK)
    return [sys.executable, "-m", "topokd.cli", "notebook", "n.py"]


def start(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a command in a project folder."""
    environment = {**os.environ, "TOPOKD_ROOT": str(folder), "PYTHONPATH": str(PROJECT)}
    return subprocess.Popen(command, cwd=folder, env=environment)


def end_early(process: subprocess.Popen[bytes], number: signal.Signals, params: P.Params) -> int:
    """Send a signal after the first saved state; everything that the command started must end.

    Returns:
        Its exit status.
    """
    deadline = time.monotonic() + 600
    while not list(Run("teacher", 0, params).resume.rglob("state.pt")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    status = process.wait(600)
    _, alive = psutil.wait_procs(below, timeout=120)
    assert not alive
    assert not Run("teacher", 0, params).checkpoint.exists()
    return status
