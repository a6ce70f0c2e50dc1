"""`topokd slurm` on a machine without SLURM: plan, batch script and messages, with fake SLURM commands."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.conftest import PROJECT
from topokd import params as P
from topokd.cli import app
from topokd.errors import ParameterError, TopokdError
from topokd.pipeline import graph, profiles
from topokd.pipeline.graph import Stage
from topokd.pipeline.slurm import jobs, queue, submit, task
from topokd.pipeline.slurm.cluster import Cluster, load_cluster
from topokd.pipeline.slurm.plan import dependency, make_arrays
from topokd.pipeline.slurm.script import batch_script

NEEDS: dict[str, set[str]] = {
    "data@default": set(),
    "teacher@default-0": {"data@default"},
    "teacher@default-1": {"data@default"},
    "student@default-kd-0": {"data@default", "teacher@default-0"},
    "student@default-full-0": {"data@default", "teacher@default-0"},
    "student@default-kd-1": {"data@default", "teacher@default-1"},
    "paper@default": {"student@default-kd-0", "student@default-full-0", "student@default-kd-1"},
}
KINDS = {address.split("@")[0] for address in NEEDS}


def stages(seconds: dict[str, float] | None = None) -> list[Stage]:
    known = seconds or {}
    return [Stage(address, needs, known.get(address, 0.0), False, Path(), Path()) for address, needs in NEEDS.items()]


def arrays(done: set[str] = frozenset(), queued: set[str] = frozenset(), **settings: Any) -> list:
    left = set(NEEDS) - done
    return make_arrays(stages(settings.pop("seconds", None)), left, queued, Cluster(**settings))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder, and commands of SLURM that write down how they were called; squeue prints the file `queue`."""
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    (tmp_path / "conf").mkdir()
    programs = {
        "squeue": 'cat "$TOPOKD_ROOT/queue" 2>/dev/null; true',
        "sbatch": 'echo "$@" >> "$TOPOKD_ROOT/sent"; echo "$((10 + $(wc -l < "$TOPOKD_ROOT/sent")));cluster"',
        "scancel": 'echo "$@" > "$TOPOKD_ROOT/cancelled"',
    }
    for name, text in programs.items():
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(P, "load_profile", lambda name: P.Params(train=P.Train(threads=2)))
    for module, name, value in (
        (submit, "list_profile", lambda name: None),
        (submit, "listed", lambda name: contextlib.nullcontext()),
        (submit, "share_lock", lambda: None),
        (submit, "read_stages", lambda name: stages()),
        (graph, "read_stages", lambda name: stages()),
        (submit, "unfinished", lambda known: [s.address for s in known if s.address != "data@default"]),
        (graph, "unfinished", lambda known: [s.address for s in known if s.address != "data@default"]),
        (profiles, "profile_of", lambda address: "default" if address else ""),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr("topokd.cli.slurm.require_checkout", lambda: None)
    return tmp_path


def call(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["slurm", *arguments])
    return done.exit_code, done.output if done.exception is None else f"{done.output}{done.exception}"


def test_stages_of_one_kind_that_wait_for_the_same_form_an_array() -> None:
    assert [(array.kind, len(array.stages), len(array.needs)) for array in arrays()] == [
        ("data", 1, 0), ("teacher", 2, 1), ("student", 2, 2), ("student", 1, 2), ("paper", 1, 3),
    ]  # fmt: skip


def test_finished_and_queued_stages_are_left_out_and_only_the_queued_are_waited_for() -> None:
    first, second, third = arrays(done={"data@default", "teacher@default-1"}, queued={"teacher@default-0"})
    assert (first.stages, first.needs) == (("student@default-kd-0", "student@default-full-0"), ("teacher@default-0",))
    assert (second.stages, second.needs) == (("student@default-kd-1",), ())
    assert third.kind == "paper"


def test_a_stage_that_was_never_measured_counts_as_the_mean_of_its_kind() -> None:
    seconds = {"student@default-kd-0": 100.0, "student@default-full-0": 300.0}
    measured = {array.stages: (array.seconds, array.unknown) for array in arrays(seconds=seconds)}
    assert measured[("student@default-kd-1",)] == (200.0, 0) and measured[("paper@default",)] == (0.0, 1)


@pytest.mark.parametrize(("cap", "limits", "after"), [(0, [0, 0], [None, None]), (5, [3, 2], [None, None]),
                                                      (1, [1, 1], [None, 2])])  # fmt: skip
def test_a_cap_is_shared_by_the_arrays_of_a_kind(cap: int, limits: list[int], after: list[int | None]) -> None:
    found = [array for array in arrays(stages={"student": {"at_once": cap}}) if array.kind == "student"]
    assert [array.limit for array in found] == limits and [array.after for array in found] == after


def test_a_task_depends_on_exactly_the_tasks_that_it_needs() -> None:
    student = next(array for array in arrays() if array.kind == "student")
    numbers = {"data@default": "7_0", "teacher@default-0": "8_0", "teacher@default-1": "8_1"}
    assert dependency(student, numbers, None) == "afterok:7_0:8_0"
    assert dependency(arrays()[0], numbers, "9") == "afterany:9"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"cluster\.yaml does not exist: copy conf/cluster\.yaml"),
        ("default: {time: 90}", "default.time.*quotes"),
        ("default: {time: soon}", "must be a time of SLURM"),
        ("default: {options: [-A x]}", "'-A x' is not of the form --name=value"),
        ("stages: {studnet: {gres: gpu:1}}", "no kind of stage 'studnet'.*student"),
        ("stages: {student: {gpus: 1}}", "stages.student"),
        ("default: [", "not valid YAML"),
    ],
)
def test_mistakes_in_the_file_of_a_cluster_are_named(project: Path, text: str | None, message: str) -> None:
    if text is not None:
        (project / "conf" / "cluster.yaml").write_text(text)
    with pytest.raises(ParameterError, match=message):
        load_cluster("", KINDS)


def test_a_kind_of_stage_has_the_default_resources_and_its_differences(project: Path) -> None:
    (project / "conf" / "cluster-big.yaml").write_text(
        "default: {memory: 4G, partition: short}\nstages: {student: {gres: 'gpu:1', exclusive: true}}\n"
    )
    cluster = load_cluster("big", KINDS)
    assert cluster.resources("paper").sbatch_options(cpus=3) == [
        "--partition=short", "--time=02:00:00", "--mem=4G", "--cpus-per-task=3",
    ]  # fmt: skip
    assert cluster.resources("student").sbatch_options(cpus=3)[-2:] == ["--gres=gpu:1", "--exclusive"]


def test_only_unfinished_stages_are_submitted_with_their_dependencies(project: Path) -> None:
    (project / "conf" / "cluster.yaml").write_text("stages: {student: {gres: 'gpu:1', at_once: 1}}")
    jobs.write_jobs("default", {"teacher@default-0": "5_0", "teacher@default-1": "4_0"})
    (project / "queue").write_text("5_0|RUNNING|None|n1|3:10\n")
    status, said = call("submit")
    assert status == 0 and "1 stages are already queued or running" in said and "5 stages submitted" in said
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


def test_the_plan_shows_arrays_and_hours_without_a_queue(project: Path) -> None:
    (project / "conf" / "cluster.yaml").write_text("{}")
    status, said = call("plan")
    assert status == 0 and "7 stages: 1 finished, 0 in the queue" in said
    assert "unknown hours of tasks, 0.00 of them with a GPU" in said and not (project / "sent").exists()
    assert "to the time limits: 12 hours of tasks, 0 GPU-hours" in said


def test_the_plan_counts_gpus_and_says_what_was_never_measured(project: Path) -> None:
    (project / "conf" / "cluster.yaml").write_text("stages: {student: {gres: 'gpu:a100:2', time: '1-0'}}")
    status, said = call("plan")
    assert status == 0 and "unknown hours of tasks, unknown of them with a GPU" in said
    students = sum(int(line.split()[1]) for line in said.splitlines() if line.startswith("student "))
    assert students and f", {students * 24 * 2} GPU-hours" in said


def test_the_state_of_each_stage_is_described(project: Path) -> None:
    known = {f"teacher@default-{k}": f"7_{k}" for k in range(2)}
    known |= {"student@default-kd-0": "8_0", "student@default-full-0": "8_1", "student@default-kd-1": "8_2"}
    jobs.write_jobs("default", known)
    (project / "queue").write_text(
        "7_0|RUNNING|None|n3|1:02\n7_1|PENDING|Priority||0:00\n8_0|PENDING|DependencyNeverSatisfied||0:00\n"
    )
    log = jobs.log_file("default", "teacher", "7_0")
    log.parent.mkdir(parents=True)
    log.write_text("first\nstep 20 of 100\n\n")
    write_outcome(project, "student@default-full-0", job="8_1", state="failed", status=1)
    status, said = call("status")
    assert status == 1
    assert "teacher@default-0: running (job 7_0 on n3, 1:02) step 20 of 100" in said
    assert "teacher@default-1: pending (job 7_1: Priority)" in said
    assert "student@default-kd-0: pending (job 8_0: DependencyNeverSatisfied; `topokd slurm resume` submits" in said
    assert "student@default-full-0: failed with status 1 (job 8_1 on n1), see" in said
    assert "student@default-kd-1: not run (job 8_2 left the queue" in said and "paper@default: not submitted" in said
    assert "data@default" not in said  # it is done


def write_outcome(project: Path, address: str, **values: Any) -> None:
    from topokd.io import write_json

    file = jobs.folder("default") / "outcomes" / f"{address}.json"
    write_json(file, {"status": None, "node": "n1", "attempt": 1, **values})


def test_a_task_that_ended_without_a_message_differs_from_one_that_is_out_of_date(project: Path) -> None:
    address = "teacher@default-0"
    write_outcome(project, address, job="3_0", state="running")
    assert jobs.describe("default", address, False, "3_0", None).startswith("ended without a message (job 3_0 on n1")
    write_outcome(project, address, job="3_0", state="done", status=0)
    assert jobs.describe("default", address, False, "3_0", None) == "out of date since job 3_0"
    assert jobs.describe("default", address, True, "3_0", None) == "done"


def test_logs_are_those_of_the_failed_stages_or_of_the_one_that_is_named(project: Path) -> None:
    jobs.write_jobs("default", {"teacher@default-0": "7_0", "teacher@default-1": "7_1"})
    assert call("logs") == (0, "no stage failed\n")
    write_outcome(project, "teacher@default-1", job="7_1", state="failed", status=2)
    log = jobs.log_file("default", "teacher", "7_1")
    log.parent.mkdir(parents=True)
    log.write_text("one\ntwo\nthree\n")
    assert call("logs", "-n", "2")[1] == f"teacher@default-1: {log}\n    two\n    three\n"
    assert call("logs", "teacher@default-0")[1].endswith("    not started yet\n")
    assert "paper@default was not submitted; known: teacher@default-0" in call("logs", "paper@default")[1]


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


def test_a_refusal_of_slurm_is_passed_on_in_its_words(project: Path) -> None:
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


def test_in_a_container_the_task_runs_the_image_s_python(project: Path) -> None:
    cluster = Cluster(container="image.sif", setup=("module load apptainer",))
    script = batch_script("default", ("a@default", "b@default"), project, cluster, gpu=True)
    assert "\nmodule load apptainer\n" in script
    assert f"apptainer exec --nv --bind {project} --pwd {project} {project}/image.sif python -m topokd.cli" in script
    assert "slurm task default a@default,b@default" in script


@pytest.mark.parametrize(("sent", "requeued"), [("USR1", True), ("TERM", False)])
def test_a_training_that_saved_its_state_is_requeued_near_the_time_limit(
    project: Path, sent: str, requeued: bool
) -> None:
    program, ready = project / "bin" / "stage", project / "ready"
    program.write_text(f"#!/bin/bash\ntrap 'kill $! ; exit 143' USR1 TERM\nsleep 30 & touch {ready}\nwait $!\n")
    (project / "bin" / "scontrol").write_text('#!/bin/sh\necho "$@"\n')
    for file in (program, project / "bin" / "scontrol"):
        file.chmod(0o755)
    script = project / "job.sh"
    script.write_text(batch_script("default", ("teacher@default-0",), project, Cluster(python=str(program)), gpu=False))
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_JOB_ID": "12"}
    with subprocess.Popen(["bash", script], env=environment, stdout=subprocess.PIPE, text=True) as job:
        while not ready.exists():
            assert job.poll() is None
        job.send_signal(getattr(__import__("signal"), f"SIG{sent}"))
        said, _ = job.communicate(timeout=30)
    assert job.returncode == 143 and ("requeue 12_0" in said) == requeued


def test_a_task_notes_how_its_stage_ended(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    P.dump(P.Params(), project / "results" / "default" / "params.yaml")
    for name, value in {"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(task, "die_with_parent", lambda: None)
    for status, state in ((0, "done"), (143, "stopped"), (5, "failed")):
        monkeypatch.setattr(task, "run_stage", lambda address, status=status: status)
        assert task.run_task("default", "teacher@default-0") == status
        outcome = jobs.read_outcome("default", "teacher@default-0", "12_3")
        assert outcome is not None and (outcome.state, outcome.status, outcome.attempt) == (state, status, 2)
    assert jobs.read_outcome("default", "teacher@default-0", "12_4") is None


def test_a_task_with_fewer_cores_than_threads_is_rejected(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    P.dump(P.Params(train=P.Train(threads=4)), project / "results" / "default" / "params.yaml")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
    monkeypatch.setattr(task, "die_with_parent", lambda: None)
    with pytest.raises(ParameterError, match="2 cores, but train.threads of profile default is 4: set `cpus`"):
        task.run_task("default", "teacher@default-0")


def test_a_node_without_a_home_gets_a_temporary_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(project / "absent"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(project))
    task.use_node_folders()
    home = Path(os.environ["HOME"])
    assert home.parent == project and home.is_dir() and home.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("content", ["[]", "null", "3", "{", '{"job": "7_0"}', '"text"'])
def test_damaged_records_of_jobs_stop_nothing(project: Path, content: str):
    folder = jobs.folder("default")
    (folder / "outcomes").mkdir(parents=True)
    for file in (folder / "jobs.json", folder / "outcomes" / "teacher@default-0.json"):
        file.write_text(content)
    assert isinstance(jobs.read_jobs("default"), dict)
    assert jobs.read_outcome("default", "teacher@default-0", "7_0") is None


def test_a_percent_sign_in_the_path_of_the_project_is_literal(project: Path, monkeypatch: pytest.MonkeyPatch):
    """SLURM replaces %d and the like in --output; %% is a percent sign."""
    monkeypatch.setenv("TOPOKD_ROOT", str(project / "50%data"))
    sent: list[str] = []
    monkeypatch.setattr(queue, "submit", lambda options: sent.extend(options) or "7")
    plan = submit.Plan("default", Cluster(), stages(), set(), {}, [], arrays(), cpus=1, ranks=1)
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
