"""`topokd slurm submit` and `cancel` with fake commands of SLURM."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.pipeline.slurm.commands import arrays, call, stages
from topokd.errors import TopokdError
from topokd.pipeline.slurm import jobs, queue, submit
from topokd.pipeline.slurm.cluster import Cluster
from topokd.pipeline.slurm.placement import Placement


def test_only_unfinished_stages_are_submitted_with_their_dependencies(project: Path) -> None:
    (project / "conf" / "cluster.yaml").write_text("stages: {student: {gres: 'gpu:1', at_once: 1}}")
    jobs.write_jobs("default", {"teacher@default-0": "5_0", "teacher@default-1": "4_0"})
    (project / "queue").write_text("5_0|RUNNING|None|n1|3:10\n")
    status, said = call("submit")
    assert status == 0 and "already queued or running, left alone: 1" in said and "5 stages submitted" in said
    sent = [line.split() for line in (project / "sent").read_text().splitlines()]
    names = [next(word for word in words if word.startswith("--job-name")) for words in sent]
    assert names == [f"--job-name=topokd-default-{kind}" for kind in ("teacher", "student", "student", "paper")]
    waits = [[word for word in words if word.startswith("--dependency")] for words in sent]
    assert waits == [
        [], ["--dependency=afterok:5_0"], ["--dependency=afterok:11_0,afterany:12"],
        ["--dependency=afterok:12_1:12_0:13_0"],
    ]  # fmt: skip
    assert "--array=0-1%1" in sent[1] and "--gres=gpu:1" in sent[1] and "--cpus-per-task=2" in sent[1]
    assert jobs.read_jobs("default")["student@default-full-0"] == "12_1"
    assert Path(sent[0][-1]).read_text().startswith("#!/bin/bash")


def test_only_the_tasks_in_the_queue_are_cancelled(project: Path) -> None:
    jobs.write_jobs("default", {"teacher@default-0": "7_0", "teacher@default-1": "7_1", "paper@default": "9_0"})
    (project / "queue").write_text("7_0|RUNNING|None|n3|1:02\n9_0|PENDING|JobHeldUser||0:00\n")
    assert call("cancel") == (0, "cancelled: teacher@default-0, paper@default\n")
    assert (project / "cancelled").read_text() == "7_0 9_0\n"
    assert submit.stuck("default") == ["paper@default"]
    assert call("cancel", "teacher@default-1") == (0, "none of these stages is in the queue\n")


def test_without_slurm_the_message_says_what_to_use(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(queue.SlurmError, match="squeue of SLURM is not on PATH.*topokd repro"):
        queue.my_tasks()


def test_the_error_message_of_slurm_is_passed_on(project: Path) -> None:
    (project / "bin" / "sbatch").write_text("#!/bin/sh\necho 'invalid partition' >&2; exit 1\n")
    with pytest.raises(queue.SlurmError, match="sbatch --parsable --x: invalid partition"):
        queue.submit(["--x"])


def test_two_submissions_of_a_profile_do_not_run_together(project: Path) -> None:
    with (
        jobs.only_submission("default"),
        pytest.raises(TopokdError, match="another submission of default is running"),
        jobs.only_submission("default"),
    ):
        pass


def test_a_percent_sign_in_the_path_of_the_project_is_literal(project: Path, monkeypatch: pytest.MonkeyPatch):
    """SLURM replaces %d and the like in --output; %% is a percent sign."""
    monkeypatch.setenv("TOPOKD_ROOT", str(project / "50%data"))
    sent: list[str] = []
    monkeypatch.setattr(queue, "submit", lambda options: sent.extend(options) or "7")
    plan = submit.JobPlan(
        "default", Cluster(), stages(), set(), {}, [], arrays(), placements={"data": Placement(1, 1, 1, 0)}
    )
    submit._send(plan, plan.arrays[0], None)
    (log,) = [option for option in sent if option.startswith("--output=")]
    assert log == f"--output={project}/50%%data/workspace/default/slurm/logs/data-%A_%a.log"


def test_a_first_submission_does_not_ask_for_the_queue(project: Path) -> None:
    (project / "conf/cluster.yaml").write_text("{}")
    (project / "bin/squeue").write_text("#!/bin/sh\necho 'cannot be reached' >&2; exit 1\n")
    assert call("submit")[0] == 0 and (project / "sent").is_file()
    status, printed = call("submit")
    assert status == 1 and "cannot be reached" in printed


def test_a_queue_that_cannot_be_read_stops_a_second_submission(project: Path) -> None:
    (project / "conf/cluster.yaml").write_text("{}")
    assert call("submit")[0] == 0
    sent = (project / "sent").read_text()
    (project / "queue").write_text("11 topokd-default-teacher PENDING\n")
    status, printed = call("submit")
    assert status == 1 and "already queued" in printed and "'11 topokd-default-teacher PENDING'" in printed
    assert (project / "sent").read_text() == sent


def test_the_script_for_slurm_calls_the_command(project: Path) -> None:
    (project / "bin/topokd").write_text('#!/bin/sh\necho "$@"\n')
    (project / "bin/topokd").chmod(0o755)
    script = PROJECT / "tools/slurm/submit.sh"
    called = [subprocess.run(["bash", script, *words], capture_output=True, text=True, check=True).stdout.strip()
              for words in ([], ["smoke"], ["smoke", "--cluster", "x"], ["--cluster", "x"])]  # fmt: skip
    assert called == [
        "slurm submit --profile default",
        "slurm submit --profile smoke",
        "slurm submit --profile smoke --cluster x",
        "slurm submit --profile default --cluster x",
    ]
