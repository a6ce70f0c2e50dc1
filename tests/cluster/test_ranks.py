"""Two ranks started by srun: stopped, killed, and started again, with the weights of an uninterrupted training."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.cluster import slurm
from tests.conftest import PROJECT
from tests.training import launchers
from tests.training.conftest import street, tiny_params
from topokd import params as P
from topokd.datasets.semantickitti.files import write_scan
from topokd.io import sha256
from topokd.training.run import Run

pytestmark = pytest.mark.timeout(1800)
WORK = """\
from pathlib import Path
from topokd import params as P
from topokd.training import train_teacher
train_teacher(P.load(Path("params.yaml")), 0)
"""


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> P.Params:
    rng = np.random.default_rng(0)
    for sequence, count in ((0, 4), (8, 2)):
        for frame in range(count):
            write_scan(tmp_path / "scans", sequence, frame, street(rng))
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    return launchers.two_ranks(tiny_params(tmp_path / "scans"))


def test_srun_starts_ranks_and_a_signal_costs_nothing(shared: P.Params, tmp_path: Path, node: Path):
    expected = launchers.uninterrupted(shared)
    run = Run("teacher", 0, shared)
    P.dump(shared, tmp_path / "params.yaml")
    (tmp_path / "train.py").write_text(WORK)
    environment = {**os.environ, "TOPOKD_ROOT": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    command = ["srun", "--job-name=topokd-ranks", "--ntasks=2", "--cpus-per-task=1", "--nodes=1", "--mem=2G"]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([*command, sys.executable, "train.py"], cwd=tmp_path, env=environment)

    for signal in ("TERM", "KILL"):
        process = start()
        deadline, before = time.monotonic() + 300, {file.stat().st_mtime_ns for file in run.resume.rglob("state.pt")}
        while {file.stat().st_mtime_ns for file in run.resume.rglob("state.pt")} <= before:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        (job,) = [name for name in slurm.squeue() if name]
        subprocess.run(["scancel", f"--signal={signal}", job], check=True)
        assert process.wait(300) != 0 and not run.checkpoint.exists()
        slurm.wait_until(lambda: not slurm.squeue(), 120, "an empty queue")
    assert start().wait(600) == 0
    assert sha256(run.checkpoint) == expected
