"""`topokd slurm` on a real SLURM, with stages of seconds: order, failures, limits, preemption, lost nodes, crowds."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.cluster import slurm
from tests.cluster.project import Project

pytestmark = pytest.mark.timeout(1800)  # of a machine with other work; on two idle cores a test takes a minute
RESULTS = {"full-0.txt", "full-1.txt", "plain-0.txt", "plain-1.txt", "teacher-0.txt", "teacher-1.txt"}


def test_the_whole_graph_runs_and_a_second_submission_does_nothing(project: Project):
    planned = project.slurm("plan")
    assert "9 stages: 0 finished" in planned and "here, before submitting: params@default" in planned
    printed = project.slurm("submit")
    assert "8 stages submitted" in printed
    first = project.jobs()
    again = project.slurm("submit")  # at once: everything is in the queue or done
    assert "nothing left to submit" in again and project.jobs() == first
    project.wait()
    assert len(project.paper().splitlines()) == 6
    assert "up to date" in project.status()
    assert "nothing left to submit" in project.slurm("submit") and project.jobs() == first
    shown = project.slurm("status", "--all")
    assert "paper@default: done" in shown and "9 done" in shown
    log = project.log("teacher@default-1")
    assert f"=== teacher@default-1 · job {first['teacher@default-1']} · attempt 1" in log


def test_a_failed_stage_blocks_only_what_needs_it_and_names_its_log(project: Project):
    (project.root / "fail-student").touch()
    work = project.root / "work.sh"
    work.write_text(work.read_text().replace('fail-"$1"', 'fail-"$1" -o "$3$4" != full1'))  # one student only
    project.slurm("submit")
    project.wait()
    made = {file.name for file in (project.root / "workspace/default").glob("*-?.txt") if file.stat().st_size}
    assert made == RESULTS - {"full-1.txt"}
    shown = project.slurm("status", check=False)
    assert "student@default-full-1: failed with status 7 (job" in shown and "see " in shown
    assert "paper@default: not run" in shown
    assert "scan 4 is empty" in project.slurm("logs")
    (project.root / "fail-student").unlink()
    before = project.jobs()
    assert "2 stages submitted" in project.slurm("resume")
    project.wait()
    assert len(project.paper().splitlines()) == 6
    assert project.jobs()["student@default-full-0"] == before["student@default-full-0"]


def test_a_training_longer_than_the_time_limit_continues_until_it_is_done(project: Project):
    """A limit of one minute, USR1 after a few seconds of it, 20 steps of 2.5 s: several requeues of the same job.

    The other stages cannot go on where they were, and on a busy machine they take a minute to start.
    """
    (project.root / "slow").write_text("2.5")
    project.describe_cluster(stop_before=50, more="stages: {teacher: {time: '1'}}\n")
    project.slurm("submit")
    job = project.jobs()["teacher@default-0"]
    project.wait(800)
    assert len(project.paper().splitlines()) == 6
    log = project.log("teacher@default-0")
    attempts = log.count(f"job {job} · attempt")
    assert attempts >= 2 and log.count("back into the queue") == attempts - 1
    assert f"attempt {attempts}" in log and log.count("from step 0 ") == 1
    assert "up to date" in project.status()


def test_a_preempted_training_resumes_where_it_was(project: Project):
    (project.root / "slow").write_text("2.0")
    project.slurm("submit")
    project.wait_for_log("teacher@default-0", "from step 0")
    urgent = [
        "sbatch",
        "--parsable",
        "--partition=high",
        "--nodes=2",
        "--exclusive",
        "--output=/dev/null",
        "--wrap=sleep 3",
    ]
    subprocess.run(urgent, check=True, capture_output=True)
    project.wait(600)
    log = project.log("teacher@default-0")
    assert "stopped after step" in log and "attempt 2" in log and log.count("from step 0 ") == 1
    assert len(project.paper().splitlines()) == 6


def test_a_lost_node_costs_the_steps_since_the_last_state(project: Project):
    (project.root / "slow").write_text("2.0")
    project.slurm("submit")
    project.wait_for_log("teacher@default-0", "from step 0")
    job = project.jobs()["teacher@default-0"]
    slurm.wait_until(lambda: (project.root / "workspace/default/resume/teacher-0").exists(), 300, "the first state")
    name = slurm.squeue()[job][2]
    subprocess.run(["scontrol", "update", f"nodename={name}", "state=down", "reason=test"], check=True)
    try:
        project.wait_for_log("teacher@default-0", "attempt 2")
    finally:
        resume = ["scontrol", "update", f"nodename={name}", "state=resume"]
        subprocess.run(resume, check=False)  # an error if the node has already reported itself again
    project.wait(600)
    assert project.log("teacher@default-0").count("from step 0 ") == 1
    assert len(project.paper().splitlines()) == 6


def test_cancel_saves_the_state_and_resume_continues(project: Project):
    (project.root / "slow").write_text("1.0")
    project.slurm("submit")
    project.wait_for_log("teacher@default-1", "from step 0")
    assert "teacher@default-1" in project.slurm("cancel")
    project.wait()
    assert "stopped after step" in project.log("teacher@default-1")
    shown = project.slurm("status", check=False)
    assert "teacher@default-1: stopped" in shown and "paper@default: not run" in shown
    (project.root / "slow").unlink()
    project.slurm("resume")
    project.wait()
    assert "from step 0 " not in project.log("teacher@default-1")
    assert len(project.paper().splitlines()) == 6


def test_two_profiles_at_once_and_no_more_tasks_than_the_cap(project: Project):
    """Teachers of 20 s, so that those of the profile that was submitted last are seen while they run."""
    (project.root / "slow").write_text("1.0")
    project.describe_cluster(more="stages: {teacher: {at_once: 1}}\n")
    project.slurm("submit", "--profile", "other")
    project.slurm("submit", "--profile", "default")
    teachers = [project.jobs()[f"teacher@default-{seed}"] for seed in (0, 1)]
    most, deadline = 0, time.monotonic() + 900
    while any(project.jobs(profile)[f"paper@{profile}"] in slurm.squeue() for profile in ("default", "other")):
        tasks = slurm.squeue()
        most = max(most, sum(tasks.get(job, ("",))[0] == "RUNNING" for job in teachers))
        assert time.monotonic() < deadline, tasks
        time.sleep(0.5)
    assert most == 1
    assert len(project.paper("default").splitlines()) == len(project.paper("other").splitlines()) == 6
    assert "up to date" in project.status()


def test_tasks_need_neither_a_home_nor_the_environment_of_the_shell(project: Project, tmp_path):
    environment = {name: value for name, value in project.environment().items() if name != "HOME"}
    environment["TOPOKD_EXAMPLE"] = "a folder"  # reaches the tasks by the script, as names of data sets do
    environment["OTHER"] = "does not"
    project.describe_cluster(more="stages: {teacher: {cpus: 2}}\n")
    file = project.root / "conf/cluster.yaml"
    file.write_text(file.read_text().replace('"]', '", "unset HOME", "env | grep -c ^OTHER= || echo $TOPOKD_EXAMPLE"]'))
    project.slurm("submit", environment=environment)
    project.wait()
    log = project.log("teacher@default-0")
    assert "a folder" in log and "HOME /tmp/topokd-home-" in log and "OMP 2" in log
    assert len(project.paper().splitlines()) == 6
