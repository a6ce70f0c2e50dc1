"""The batch script of an array: interpreter, container, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from topokd.pipeline.slurm.cluster import Cluster
from topokd.pipeline.slurm.placement import Placement
from topokd.pipeline.slurm.script import batch_script


def test_in_a_container_the_task_runs_the_image_s_python(project: Path) -> None:
    cluster = Cluster(container="image.sif", setup=("module load apptainer",))
    script = batch_script("default", ("a@default", "b@default"), project, cluster, Placement(1, 1, 1, gpus=1))
    assert "\nmodule load apptainer\n" in script
    assert f"apptainer exec --nv --bind {project} --pwd {project} {project}/image.sif python -m topokd.cli" in script
    assert "slurm task default a@default,b@default" in script


def write_program(file: Path, text: str) -> str:
    file.write_text(f"#!{sys.executable}\n{text}")
    file.chmod(0o755)
    return str(file)


STAGE = """\
import pathlib, signal, sys, time
def save(*_):
    sys.exit(143)
if starting := {starting}:
    pathlib.Path("ready").touch()
    time.sleep(1.0)  # as long as it imports
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, save)
pathlib.Path("ready").touch()
time.sleep(30)
"""


def run_job(
    project: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, stage: str, setup: tuple[str, ...] = ()
) -> tuple[int, str]:
    """Run a batch script, send it a signal when the file `ready` exists; exit status and output."""
    monkeypatch.setattr("topokd.pipeline.slurm.script.AGAIN", 0.3)
    program = write_program(project / "bin/stage", stage)
    write_program(project / "bin/scontrol", "import sys\nprint(*sys.argv[1:])\n")
    script = project / "job.sh"
    cluster = Cluster(python=program, setup=setup)
    script.write_text(batch_script("default", ("teacher@default-0",), project, cluster, Placement(1, 1, 1, 0)))
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_JOB_ID": "12"}
    with subprocess.Popen(["bash", script], env=environment, stdout=subprocess.PIPE, text=True) as job:
        while not (project / "ready").exists():
            assert job.poll() is None
        job.send_signal(number)
        said, _ = job.communicate(timeout=30)
    return job.returncode, said


@pytest.mark.parametrize(("sent", "requeued"), [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_a_training_that_saved_its_state_is_requeued_near_the_time_limit(
    project: Path, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals, requeued: bool
) -> None:
    status, said = run_job(project, monkeypatch, sent, STAGE.format(starting=False))
    assert status == 143 and ("requeue 12_0" in said) == requeued


def test_the_signal_before_the_time_limit_reaches_a_stage_that_is_still_starting(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, said = run_job(project, monkeypatch, signal.SIGUSR1, STAGE.format(starting=True))
    assert status == 143 and "requeue 12_0" in said


@pytest.mark.parametrize(("sent", "requeued"), [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_signals_during_the_set_up_lines_are_not_lost(
    project: Path, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals, requeued: bool
) -> None:
    setup = ("touch ready; sleep 1",)
    status, said = run_job(project, monkeypatch, sent, STAGE.format(starting=False), setup)
    assert status == 143 and ("requeue 12_0" in said) == requeued


def test_a_stage_that_cannot_stop_continues_after_the_signal(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = "import pathlib, time\npathlib.Path('ready').touch()\ntime.sleep(1)\nprint('done')\n"
    assert run_job(project, monkeypatch, signal.SIGUSR1, stage) == (0, "done\n")
