"""The reduced pipeline (conf/smoke.yaml) on a real SLURM, by arrays: to the report, with a preemption."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import slurm
from tests.pipeline import scratch
from topokd.io import read_json

pytestmark = pytest.mark.timeout(3000)


def test_the_report_is_made_by_arrays_and_a_preempted_training_has_the_same_bytes(tmp_path: Path, node: Path):
    clone = scratch.make_clone(tmp_path / "clone")
    (clone / "conf/cluster.yaml").write_text(
        f'setup: ["export PYTHONPATH={clone}"]\ndefault: {{time: "60", memory: 1G}}\n'
        "stages: {student: {at_once: 3}, topology_cost: {exclusive: true}}\n"
    )
    command = [sys.executable, "-m", "topokd.cli", "slurm"]
    environment = {name: value for name, value in scratch.own_environment(clone).items() if name != "HOME"}
    submitted = subprocess.run(
        [*command, "submit", "--profile", scratch.PROFILE], cwd=clone, env=environment, capture_output=True, text=True
    )
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    jobs = read_json(clone / f"workspace/{scratch.PROFILE}/slurm/jobs.json")
    teacher = f"teacher@{scratch.PROFILE}-0"
    log = clone / f"workspace/{scratch.PROFILE}/slurm/logs/teacher-{jobs[teacher]}.log"
    slurm.wait_until(lambda: log.exists() and "Running stage" in log.read_text(), 1500, "the teacher")
    urgent = ["sbatch", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"]
    subprocess.run(urgent, check=True, capture_output=True, cwd="/")
    slurm.wait_until(lambda: not slurm.squeue(), 2400, "the end of all jobs")
    logs = "\n".join(f"{file}:\n{file.read_text()[-2000:]}" for file in log.parent.glob("*.log"))
    assert (clone / f"results/{scratch.PROFILE}/report.html").is_file(), logs
    assert "attempt 2" in log.read_text()
    assert "up to date" in scratch.run(clone, "dvc", "status")
    before = scratch.digests(clone)
    shutil.rmtree(clone / f"workspace/{scratch.PROFILE}/resume")
    scratch.run(clone, sys.executable, "-m", "topokd.cli", "stage", "--force", teacher)
    assert {name for name, digest in scratch.digests(clone).items() if before.get(name) != digest} == set()
