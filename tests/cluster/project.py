"""A small project with the graph of the real one: params, data, two teachers, students, one paper, per profile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import slurm
from tests.conftest import PROJECT
from topokd.io import read_json

DVC = """\
stages:
  params:
    matrix: {profile: "${profiles}"}
    cmd: exec topokd params ${item.profile}
    deps: [conf/weights]
    outs: ["results/${item.profile}/params.yaml": {cache: false}]
  data:
    matrix: {profile: "${profiles}"}
    cmd: sh work.sh data ${item.profile} > workspace/${item.profile}/data.txt
    deps: [work.sh, "results/${item.profile}/params.yaml"]
    outs: ["workspace/${item.profile}/data.txt"]
  teacher:
    matrix: {profile: "${profiles}", seed: [0, 1]}
    cmd: exec python train.py workspace/${item.profile} teacher-${item.seed}
    deps: [train.py, "workspace/${item.profile}/data.txt"]
    outs: ["workspace/${item.profile}/teacher-${item.seed}.txt"]
  student:
    matrix: {profile: "${profiles}", row: [plain, full], seed: [0, 1]}
    cmd: >-
      sh work.sh student ${item.profile} ${item.row} ${item.seed}
      > workspace/${item.profile}/${item.row}-${item.seed}.txt
    deps: [work.sh, "workspace/${item.profile}/teacher-${item.seed}.txt"]
    outs: ["workspace/${item.profile}/${item.row}-${item.seed}.txt"]
  paper:
    matrix: {profile: "${profiles}"}
    cmd: cat workspace/${item.profile}/*-?.txt > results/${item.profile}/paper.txt
    deps:
      - workspace/${item.profile}/plain-0.txt
      - workspace/${item.profile}/plain-1.txt
      - workspace/${item.profile}/full-0.txt
      - workspace/${item.profile}/full-1.txt
    outs: ["results/${item.profile}/paper.txt": {cache: false}]
"""
WORK = """\
set -e
[ ! -e fail-"$1" ] || { echo "scan 4 is empty" >&2; exit 7; }
echo "$*"
"""
TRAIN = """\
\"\"\"A loop that saves its state and stops as training does.\"\"\"
import os, pathlib, sys, time
from topokd.io import write_text
from topokd.stopping import Stopped, StopRequest

folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
state = folder / "resume" / name
step = int(state.read_text()) if state.exists() else 0
print("from step", step, "HOME", os.environ.get("HOME"), "OMP", os.environ.get("OMP_NUM_THREADS"), flush=True)
slow = float(pathlib.Path("slow").read_text()) if pathlib.Path("slow").exists() else 0.0
stop = StopRequest()
stop.open()
while step < 20:
    time.sleep(slow)
    step += 1
    if stop.requested():
        write_text(state, str(step))
        print("stopped after step", step, flush=True)
        sys.exit(143)
    if step % 5 == 0:
        write_text(state, str(step))
write_text(folder / f"{name}.txt", f"{name} {step}\\n")
"""


@dataclass
class Project:
    """The folder, and commands in it."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> Project:
        root.mkdir(parents=True)
        (root / "topokd").mkdir()
        (root / "conf").mkdir()
        (root / "conf/weights").write_text("1\n")
        (root / "conf/other.yaml").write_text("data: {voxel_size: 0.3}\n")
        (root / "dvc.yaml").write_text(DVC)
        (root / "work.sh").write_text(WORK)
        (root / "train.py").write_text(TRAIN)
        shutil.copy(PROJECT / "params.yaml", root / "params.yaml")
        made = cls(root)
        made.describe_cluster()
        subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=root, check=True)
        return made

    def describe_cluster(self, time: str = "5", stop_before: int = 10, more: str = "") -> None:
        """conf/cluster.yaml: the packages of this checkout, one core and little memory per task."""
        (self.root / "conf/cluster.yaml").write_text(
            f'setup: ["export PYTHONPATH={PROJECT}"]\n'
            f"stop_before: {stop_before}\n"
            f'default: {{time: "{time}", memory: 100M, cpus: 1}}\n{more}'
        )

    def slurm(self, *arguments: str, check: bool = True, environment: dict[str, str] | None = None) -> str:
        """``topokd slurm ...``; returns what it printed."""
        command = [sys.executable, "-m", "topokd.cli", "slurm", *arguments]
        done = subprocess.run(
            command, cwd=self.root, env=environment or self.environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout
        return done.stdout

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TOPOKD_")}
        return {**kept, "TOPOKD_ROOT": str(self.root), "PYTHONPATH": str(PROJECT)}

    def jobs(self, profile: str = "default") -> dict[str, str]:
        file = self.root / f"workspace/{profile}/slurm/jobs.json"
        return read_json(file) if file.exists() else {}

    def job_names(self) -> set[str]:
        kinds = ("data", "teacher", "student", "paper")
        return {f"topokd-{profile}-{kind}" for profile in ("default", "other") for kind in kinds}

    def log(self, address: str, profile: str = "default") -> str:
        job = self.jobs(profile)[address]
        return (self.root / f"workspace/{profile}/slurm/logs/{address.split('@')[0]}-{job}.log").read_text()

    def paper(self, profile: str = "default") -> str:
        return (self.root / f"results/{profile}/paper.txt").read_text()

    def wait(self, seconds: float = 600, profile: str = "default") -> None:
        """Until nothing of the profile is in the queue."""
        slurm.wait_until(lambda: not set(self.jobs(profile).values()) & set(slurm.squeue()), seconds, "an empty queue")

    def wait_for_log(self, address: str, words: str, seconds: float = 300) -> None:
        def there() -> bool:
            try:
                return words in self.log(address)
            except (OSError, KeyError):
                return False

        slurm.wait_until(there, seconds, f"{words!r} in the log of {address}")

    def status(self) -> str:
        """Output of `dvc status`."""
        command = [sys.executable, "-m", "dvc", "status"]
        return subprocess.run(command, cwd=self.root, env=self.environment(), capture_output=True, text=True).stdout
