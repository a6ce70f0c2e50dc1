"""Where `topokd slurm` puts the processes of a training: on one node, or spread over several."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.pipeline.slurm.commands import call
from topokd import params as P
from topokd.errors import ParameterError
from topokd.pipeline.slurm.cluster import Cluster, Resources
from topokd.pipeline.slurm.placement import Placement, place_task
from topokd.pipeline.slurm.script import batch_script

EACH = "gpu:{ranks}"


@pytest.mark.parametrize(
    ("resources", "ranks", "nodes", "per_node", "gpus"),
    [
        ({"gres": EACH}, 2, 1, 2, 2),  # a node's GPUs are not known
        ({"gres": EACH, "gpus_per_node": 1}, 2, 2, 1, 1),
        ({"gres": EACH, "gpus_per_node": 4}, 8, 2, 4, 4),
        ({"gres": EACH, "gpus_per_node": 4}, 6, 2, 3, 3),  # equally many on each
        ({"gres": EACH, "gpus_per_node": 4}, 5, 5, 1, 1),
        ({"gres": EACH, "gpus_per_node": 4}, 3, 1, 3, 3),
        ({"gres": "gpu:1"}, 2, 2, 1, 1),  # gres of SLURM is per node
        ({"gres": "gpu:a100:4"}, 2, 1, 2, 4),
        ({"gres": ""}, 4, 1, 4, 0),
        ({"gres": "", "cpus_per_node": 7}, 4, 2, 2, 0),  # three cores of each process
        ({"gres": EACH, "gpus_per_node": 4, "cpus_per_node": 6}, 4, 2, 2, 2),
        ({"gres": EACH, "cpus": 8, "cpus_per_node": 8}, 2, 2, 1, 1),
    ],
)
def test_ranks_are_spread_over_as_few_nodes_as_hold_them(
    resources: dict[str, object], ranks: int, nodes: int, per_node: int, gpus: int
) -> None:
    placed = place_task("student", Resources(**resources), cpus=3, ranks=ranks)
    assert (placed.nodes, placed.per_node, placed.gpus) == (nodes, per_node, gpus)


def test_a_stage_that_trains_nothing_is_one_process() -> None:
    assert place_task("evaluation", Resources(gres="gpu:1"), cpus=3, ranks=8) == Placement(1, 1, 3, 1)


@pytest.mark.parametrize(
    ("kind", "resources", "ranks", "message"),
    [
        (
            "teacher",
            {"gres": EACH, "gpus_per_node": 1, "nodes": 2},
            4,
            "takes 4 nodes, but nodes is 2: set train.ranks",
        ),
        ("evaluation", {"gres": "gpu:2", "gpus_per_node": 1}, 1, "evaluation: gres gpu:2 asks for 2 GPUs on one node"),
        ("teacher", {"gres": "gpu:2", "gpus_per_node": 1}, 2, "gpus_per_node is 1: correct one"),
        ("paper", {"cpus_per_node": 2}, 1, r"takes 3 cores \(train.threads \+ train.workers .*cpus_per_node is 2"),
        ("paper", {"cpus": 4, "cpus_per_node": 2}, 1, r"takes 4 cores \(cpus\)"),
    ],
)
def test_what_no_node_can_hold_is_rejected(kind: str, resources: dict[str, object], ranks: int, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        place_task(kind, Resources(**resources), cpus=3, ranks=ranks)


@pytest.fixture
def two_ranks(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(P, "load_profile", lambda name: P.Params(train=P.Train(threads=2, ranks=2)))
    return project


def describe(folder: Path, nodes: str) -> None:
    (folder / "conf/cluster.yaml").write_text(
        f"default: {{time: '10:00:00'{nodes}}}\nstages: {{teacher: {{gres: 'gpu:{{ranks}}'}}}}\n"
    )


def test_the_plan_says_on_how_many_nodes_a_training_runs(two_ranks: Path) -> None:
    describe(two_ranks, ", gpus_per_node: 1, nodes: 2, cpus_per_node: 4")
    said = call("plan")[1]
    assert "nodes x GPUs" in said and "2 x 1, 2 ranks" in said
    assert "--nodes=2 --ntasks-per-node=1 --cpus-per-task=2 --gres=gpu:1" in said
    assert "teacher: 2 ranks on 2 nodes, 1 on each, started by srun\n" in said
    assert "student: 2 ranks on one node with 4 cores\n" in said
    assert ", 40 GPU-hours" in said  # two teachers, two GPUs each, ten hours


def test_the_plan_says_that_all_ranks_need_one_node_if_nothing_is_known_of_the_nodes(two_ranks: Path) -> None:
    describe(two_ranks, "")
    said = call("plan")[1]
    assert "1 x 2, 2 ranks" in said and "--nodes=1 --ntasks-per-node=2 --cpus-per-task=2 --gres=gpu:2" in said
    assert "teacher: 2 ranks on one node with 2 GPUs; if your nodes have fewer, set gpus_per_node in the" in said


def test_nothing_is_run_or_submitted_if_a_stage_cannot_be_placed(
    two_ranks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stages that `submit` runs on the login node used to run before the error."""
    describe(two_ranks, ", gpus_per_node: 1, nodes: 1")
    monkeypatch.setattr("topokd.pipeline.slurm.submit.run_stage", lambda address: pytest.fail(f"{address} was run"))
    status, said = call("submit")
    assert status == 1 and "teacher: train.ranks is 2; with 1 on each node that takes 2 nodes" in said
    assert not (two_ranks / "sent").exists()


def test_the_plan_says_how_much_of_the_cluster_it_takes_at_once(two_ranks: Path) -> None:
    describe(two_ranks, ", gpus_per_node: 4")
    (two_ranks / "conf/cluster.yaml").write_text(
        "default: {gpus_per_node: 4}\nstages: {teacher: {gres: 'gpu:1'}, student: {gres: 'gpu:{ranks}', at_once: 3}}\n"
    )
    said = call("plan")[1]
    assert "started by srun; gres gpu:1 names 1 of a node: {ranks} in it would use them all" in said
    assert "most at once: 3 of student, on 3 nodes with 6 GPUs unless they share some" in said
    submitted = re.search(r"(\d+) job arrays with \d+ tasks are submitted", said)
    assert submitted is not None and int(submitted[1]) == said.count("--time=")


def test_the_script_for_several_nodes_names_the_first_and_how_ranks_are_started(project: Path) -> None:
    file = project / "bin/scontrol"
    file.write_text(
        "#!/bin/sh\n"
        'case "$2 $3" in\n'
        '  "hostnames n[7-8]") echo n7; echo n8;;\n'
        '  "node n7") echo "NodeName=n7 Arch=x86_64"; echo "   NodeAddr=10.0.0.7 NodeHostName=vm Version=22.05";;\n'
        "esac\n"
    )
    file.chmod(0o755)
    program = project / "bin/stage"
    program.write_text('#!/bin/sh\necho "$MASTER_ADDR|$TOPOKD_LAUNCHER"\n')
    program.chmod(0o755)
    script = batch_script("p", ("teacher@p-0",), project, Cluster(python=str(program)), Placement(2, 1, 3, 1))
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "0", "SLURM_JOB_NODELIST": "n[7-8]"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    address, launcher = done.stdout.strip().split("|")
    assert address == "10.0.0.7"
    assert launcher.startswith("srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --cpus-per-task=3 --export=ALL ")
    assert launcher.endswith(f" {program}")


def test_a_job_does_not_inherit_the_launcher_of_the_job_that_submits_it(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOPOKD_LAUNCHER", "srun --ntasks=9 python")
    monkeypatch.setenv("TOPOKD_DATA", "/data")
    script = batch_script("p", ("paper@p",), project, Cluster(), Placement(1, 1, 3, 0))
    assert "TOPOKD_DATA=/data" in script and "TOPOKD_LAUNCHER" not in script
