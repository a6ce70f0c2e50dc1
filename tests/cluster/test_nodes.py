"""A training with a rank on each of two nodes, as `topokd slurm` submits it: stopped, cancelled, the same weights."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.cluster import slurm
from tests.cluster.project import Project
from tests.conftest import PROJECT
from tests.training import launchers
from tests.training.conftest import street, tiny_params
from topokd import params as P
from topokd.datasets.semantickitti.files import write_scan
from topokd.io import sha256
from topokd.training.run import Run

pytestmark = pytest.mark.timeout(1800)
TEACHER = "teacher@default-0"
DVC = """\
stages:
  params:
    matrix: {profile: "${profiles}"}
    cmd: exec topokd params ${item.profile}
    outs: ["results/${item.profile}/params.yaml": {cache: false}]
  teacher:
    matrix: {profile: "${profiles}", seed: [0]}
    cmd: exec python train.py
    deps: [train.py, "results/${item.profile}/params.yaml"]
    outs: ["workspace/${item.profile}/checkpoints/teacher-seed${item.seed}.safetensors"]
"""
TRAIN = """\
import sys
from topokd import params as P
from topokd.stopping import Stopped
from topokd.training import train_teacher
try:
    train_teacher(P.load("tiny.yaml"), 0)
except Stopped as stopped:
    print(stopped)
    sys.exit(stopped.status)
"""


@pytest.fixture
def training(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> P.Params:
    """Parameters of the project's only training, on two ranks that need a node each."""
    rng = np.random.default_rng(0)
    for sequence, count in ((0, 4), (8, 2)):
        for frame in range(count):
            write_scan(tmp_path / "scans", sequence, frame, street(rng))
    monkeypatch.setenv("TOPOKD_ROOT", str(project.root))
    tiny = launchers.two_ranks(tiny_params(tmp_path / "scans"))
    tiny = tiny.replace(train=tiny.train.replace(teacher_steps=100, validate_every=100))
    P.dump(tiny, project.root / "tiny.yaml")
    (project.root / "train.py").write_text(TRAIN)
    (project.root / "dvc.yaml").write_text(DVC)
    params = project.root / "params.yaml"
    params.write_text(params.read_text().replace("\n  ranks: 1 ", "\n  ranks: 2 "))
    return tiny


def describe(project: Project, nodes: str) -> None:
    (project.root / "conf/cluster.yaml").write_text(
        f"setup: ['export PYTHONPATH={PROJECT}']\n"
        f"default: {{time: '30', memory: 1G, cpus: 1{nodes}}}\nstages: {{teacher: {{gres: 'gpu:{{ranks}}'}}}}\n"
    )


def wait_for_a_new_state(run: Run, project: Project) -> None:
    def states() -> set[int]:
        return {file.stat().st_mtime_ns for file in run.resume.rglob("state.pt")}

    before = states()
    slurm.wait_until(lambda: bool(states() - before), 300, "a state of the training")


def test_a_training_on_two_nodes_is_requeued_cancelled_and_resumed(project: Project, training: P.Params):
    expected = launchers.uninterrupted(training)
    run = Run("teacher", 0, training)
    describe(project, ", gpus_per_node: 1, nodes: 2")
    assert "2 x 1, 2 ranks" in project.slurm("plan")
    project.slurm("submit")
    job = project.jobs()[TEACHER]
    wait_for_a_new_state(run, project)
    steps = subprocess.run(["squeue", "--steps", "--noheader", "--format=%i %N"], capture_output=True, text=True).stdout
    assert f"{job}.0 one,two" in steps or f"{job}.0 two,one" in steps
    subprocess.run(["scancel", "--batch", "--signal=USR1", job], check=True)  # as before the time limit
    project.wait_for_log(TEACHER, "attempt 2")
    assert "state saved, back into the queue" in project.log(TEACHER)
    wait_for_a_new_state(run, project)
    assert project.slurm("cancel") == f"cancelled: {TEACHER}\n"
    project.wait()
    assert f"{TEACHER}: stopped" in project.slurm("status", check=False)
    assert not run.checkpoint.exists()
    project.slurm("resume")
    project.wait()
    assert sha256(run.checkpoint) == expected, project.log(TEACHER)
    assert "up to date" in project.status()


def test_slurm_rejects_what_the_plan_would_put_on_a_node_that_does_not_exist(project: Project, training: P.Params):
    describe(project, "")
    assert "2 ranks on one node with 2 GPUs; if your nodes have fewer, set gpus_per_node" in project.slurm("plan")
    assert "Requested node configuration is not available" in project.slurm("submit", check=False)
    describe(project, ", gpus_per_node: 1, nodes: 1")
    assert "with 1 on each node that takes 2 nodes, but nodes is 1" in project.slurm("plan", check=False)
    assert not project.jobs() and not slurm.squeue()
