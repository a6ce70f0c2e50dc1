"""Arrays, dependencies and resources of `topokd slurm plan`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.slurm.commands import KINDS, arrays, call
from topokd.errors import ParameterError
from topokd.pipeline.slurm.cluster import load_cluster
from topokd.pipeline.slurm.placement import Placement, sbatch_options
from topokd.pipeline.slurm.plan import dependency


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
    students = [array for array in arrays(stages={"student": {"at_once": cap}}) if array.kind == "student"]
    assert [array.limit for array in students] == limits and [array.after for array in students] == after


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
        ("stages: {student: {time: '3'}}", "time of student is 3, no longer than stop_before"),
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
    alone = Placement(nodes=1, per_node=1, cpus=3, gpus=0)
    assert sbatch_options(cluster.resources("paper"), alone) == [
        "--partition=short", "--time=02:00:00", "--mem=4G", "--cpus-per-task=3",
    ]  # fmt: skip
    assert sbatch_options(cluster.resources("student"), alone)[-2:] == ["--gres=gpu:1", "--exclusive"]


def test_the_plan_shows_arrays_and_hours_without_a_queue(project: Path) -> None:
    (project / "conf" / "cluster.yaml").write_text("{}")
    status, said = call("plan")
    assert status == 0 and "7 stages: 1 finished, 0 in the queue" in said
    assert (
        "no duration of these stages has been recorded yet; docs/costs.md" in said and not (project / "sent").exists()
    )
    assert "to the time limits: 12 hours of tasks, 0 GPU-hours" in said


def test_the_plan_counts_gpus_and_says_what_was_never_measured(project: Path) -> None:
    (project / "conf" / "cluster.yaml").write_text("stages: {student: {gres: 'gpu:a100:2', time: '1-0'}}")
    status, said = call("plan")
    assert status == 0 and "has been recorded yet" in said
    students = sum(int(line.split()[1]) for line in said.splitlines() if line.startswith("student "))
    assert students and f", {students * 24 * 2} GPU-hours" in said
