"""Several processes that share each batch train as one process does."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from topokd import params as P
from topokd.errors import ParameterError, TrainingError
from topokd.io import read_json, sha256, write_json
from topokd.project import LAUNCHER
from topokd.stopping import VARIABLE, Stopped, ask_to_stop
from topokd.training import train_student, train_teacher
from topokd.training.distributed import ProcessRank, Ranks, SyncBatchNorm, joined, meet_in_slurm, place
from topokd.training.run import Run


@pytest.fixture
def shared(params: P.Params) -> P.Params:
    """Batches of four clouds of different sizes, dropped paths, every term of Eq. 8, and one that learns a map."""
    train = params.train.replace(
        batch_size=4, student_steps=4, teacher_steps=2, keep_teacher=False, gradients_every=2, validate_every=2
    )
    params = params.replace(data=params.data.replace(crop_voxels=0, voxel_size=0.5), train=train)
    row = params.rows["full"]
    hint = {"fitnet": {"weight": 0.1}}
    rows = params.rows | {"full": row.replace(terms=row.terms | hint)}
    return params.replace(rows=rows, terms=params.terms | hint)


def _rank(rank: int, size: int, port: int, work: Callable[[], Any], folder: Path) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1")
    os.environ.update(MASTER_PORT=str(port), TOPOKD_PROGRESS=str(folder / f"progress-{rank}"))
    torch.set_num_threads(1)
    write_json(folder / f"{rank}.json", work())


def on_ranks(size: int, work: Callable[[], Any], folder: Path) -> list[Any]:
    """Results of ``work`` in ``size`` processes, each with the environment that torchrun would set."""
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_rank, args=(rank, size, port, work, folder)) for rank in range(size)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    return [read_json(folder / f"{rank}.json") for rank in range(size)]


@pytest.mark.long
def test_two_and_four_ranks_have_the_curves_of_one_process_and_one_count_of_ranks_the_same_bits(
    shared: P.Params, tmp_path: Path
) -> None:
    train_teacher(shared, 0)
    alone = train_student(shared, "full", 0)
    checkpoint, bits = Run("full", 0, shared).checkpoint, {}
    for size in (2, 4):
        records = on_ranks(size, lambda: train_student(shared, "full", 0), tmp_path / str(size))
        bits[size] = sha256(checkpoint)
        for record in records:
            assert record["ranks"] == size
            curves, expected = record["history"], alone["history"]
            assert curves["loss"] == pytest.approx(expected["loss"], abs=1e-5)
            for name, values in expected["terms"].items():
                assert curves["terms"][name] == pytest.approx(values, abs=1e-5), name
            for name, norms in expected["gradients"]["terms"].items():
                measured = curves["gradients"]["terms"][name]["parameters"]
                assert measured == pytest.approx(norms["parameters"], rel=1e-4), name
            scans = [sum(sum(row) for row in run["evaluation"]["confusion"]) for run in (record, alone)]
            assert scans[0] == scans[1]  # each scan is counted once
            assert record["evaluation"] == records[0]["evaluation"] and curves == records[0]["history"]
    four = shared.replace(train=shared.train.replace(ranks=2))
    record = train_student(four, "full", 0)  # from inside this process, as a notebook does
    assert record["ranks"] == 2 and sha256(checkpoint) == bits[2]


@pytest.mark.long
def test_torchrun_starts_ranks(shared: P.Params, tmp_path: Path) -> None:
    P.dump(shared, tmp_path / "params.yaml")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*torchrun, "-m", "topokd.training", str(tmp_path), "teacher", "0", "0"], timeout=120)
    assert done.returncode == 0
    assert read_json(Run("teacher", 0, shared).record)["ranks"] == 2


def test_a_batch_that_ranks_cannot_share_equally_is_rejected(shared: P.Params) -> None:
    with pytest.raises(ParameterError, match="batch_size is 4, which 3 ranks .*multiple"):
        train_teacher(shared.replace(train=shared.train.replace(ranks=3)), 0)


SRUN = """\
import os, signal, subprocess, sys
assert "TOPOKD_STOP" not in os.environ
command = sys.argv[sys.argv.index("--") + 1 :]
place = {"SLURM_STEP_NUM_TASKS": "2", "MASTER_ADDR": "127.0.0.1"}
ranks = [
    subprocess.Popen(command, env={**os.environ, **place, "SLURM_PROCID": str(rank), "SLURM_LOCALID": "0"})
    for rank in range(2)
]
signal.signal(signal.SIGUSR1, lambda number, _: [rank.send_signal(number) for rank in ranks])
sys.exit(max(rank.wait() for rank in ranks))
"""


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A command that starts two processes as srun does on two nodes, without what only this process has."""
    program = tmp_path / "srun.py"
    program.write_text(SRUN)
    monkeypatch.setenv(LAUNCHER, f"{sys.executable} {program} -- {sys.executable}")
    monkeypatch.setenv(VARIABLE, str(tmp_path))  # the folder by which a notebook's runner asks for a stop
    return str(program)


@pytest.mark.long
def test_ranks_started_by_a_launcher_train_as_those_started_here(
    shared: P.Params, launcher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = shared.replace(train=shared.train.replace(ranks=2))
    run = Run("teacher", 0, shared)
    assert train_teacher(shared, 0)["ranks"] == 2
    started_elsewhere = sha256(run.checkpoint)
    run.checkpoint.unlink()
    monkeypatch.delenv(LAUNCHER)
    train_teacher(shared, 0)
    assert sha256(run.checkpoint) == started_elsewhere
    assert not list((shared.workspace / "ranks").iterdir())


@pytest.mark.long
def test_a_stop_request_reaches_ranks_started_by_a_launcher(shared: P.Params, launcher: str, tmp_path: Path) -> None:
    shared = shared.replace(train=shared.train.replace(ranks=2, teacher_steps=1000, checkpoint_every=1))
    states = Run("teacher", 0, shared).resume

    def ask() -> None:
        while not list(states.rglob("state.pt")):
            threading.Event().wait(0.02)
        ask_to_stop(tmp_path)

    asking = threading.Thread(target=ask)
    asking.start()
    with pytest.raises(Stopped, match=r"teacher-seed0: stopped by a signal after step \d+ of 1000; state saved"):
        train_teacher(shared, 0)
    asking.join()


@pytest.mark.long
def test_another_number_of_ranks_than_the_profile_has_is_rejected(shared: P.Params, launcher: str) -> None:
    with pytest.raises(ParameterError, match="2 ranks were started, but train.ranks is 4: .*submit it again"):
        train_teacher(shared.replace(train=shared.train.replace(ranks=4)), 0)


def test_a_launcher_that_is_not_installed_is_named(shared: P.Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LAUNCHER, "/nowhere/srun python")
    with pytest.raises(TrainingError, match="/nowhere/srun, which starts the ranks .* container"):
        train_teacher(shared.replace(train=shared.train.replace(ranks=2)), 0)


@pytest.mark.long
def test_an_error_of_a_rank_is_raised_where_the_ranks_were_started(shared: P.Params) -> None:
    diverging = shared.train.replace(ranks=2, optimizer=P.Optimizer(lr=1e30, lr_attention=1e30))
    with pytest.raises(TrainingError, match=r"teacher-seed0: step 2: .*NaN or infinity.*train.optimizer.lr"):
        train_teacher(shared.replace(train=diverging), 0)


def test_srun_names_the_place_of_a_process() -> None:
    step = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1"}
    assert place(step) == ProcessRank(3, 4, 1)
    assert place({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}) is None  # a batch script, no srun


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in place of SLURM's, which knows a node that has another name than its machine."""
    program = tmp_path / "scontrol"
    program.write_text(
        "#!/bin/sh\n"
        'case "$2 $3" in\n'
        '  "hostnames node[7-8]") echo node7; echo node8;;\n'
        '  "node node7") echo "NodeName=node7 CoresPerSocket=1"; echo "   NodeAddr=127.0.0.1 NodeHostName=vm";;\n'
        '  "hostnames lost") echo lost.invalid;;\n'
        '  "node lost.invalid") echo "NodeAddr=lost.invalid";;\n'
        "  *) exit 1;;\n"
        "esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    return program


def test_ranks_of_srun_meet_at_the_address_by_which_slurm_reaches_the_first_node(
    scontrol: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_STEP_NODELIST", "node[7-8]")
    meet_in_slurm()
    assert os.environ["MASTER_ADDR"] == "127.0.0.1"


@pytest.mark.parametrize("nodes", ["lost", "unknown", ""])
def test_a_node_that_cannot_be_found_is_named_at_once(
    nodes: str, scontrol: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_STEP_NODELIST", nodes)
    with pytest.raises(TrainingError, match=f"{nodes or 'is not set'}.*MASTER_ADDR"):
        meet_in_slurm()


def test_synchronised_batchnorm_is_batchnorm_of_all_rows(tmp_path: Path) -> None:
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parts = [slice(0, 2), slice(2, 7)]

    def normalise(layer: nn.Module, rows: slice) -> list[list[float]]:
        own = x[rows].clone().requires_grad_(True)
        (first,) = torch.autograd.grad(layer(own).pow(3).sum(), own, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), own)
        buffers = [buffer.reshape(-1).tolist() for buffer in layer.buffers()]
        return [*layer(own).tolist(), *first.tolist(), *second.tolist(), *buffers]

    def work() -> list[list[float]]:
        here = place()
        assert here is not None
        with joined(here, torch.device("cpu")) as ranks:
            return normalise(SyncBatchNorm.of(nn.BatchNorm1d(3).double(), ranks), parts[ranks.rank])

    whole = normalise(nn.BatchNorm1d(3).double(), slice(None))
    for rank, actual in enumerate(on_ranks(2, work, tmp_path / "ranks")):
        n = len(x[parts[rank]])
        expected = [row for block in range(3) for row in whole[7 * block : 7 * block + 7][parts[rank]]] + whole[21:]
        assert len(actual) == 3 * n + 3
        for got, wanted in zip(actual, expected, strict=True):
            assert got == pytest.approx(wanted, abs=1e-9)


def test_means_over_rows_are_weighed_by_the_rows_of_each_rank(tmp_path: Path) -> None:
    def work() -> list[float]:
        here = place()
        assert here is not None
        with joined(here, torch.device("cpu")) as ranks:
            rows = torch.arange(6.0)[:2] if ranks.rank == 0 else torch.arange(6.0)[2:]
            return [ranks.mean(ranks.weigh(rows.mean(), len(rows))).item(), float(ranks.any(ranks.rank == 1))]

    assert on_ranks(2, work, tmp_path / "ranks") == [pytest.approx([2.5, 1.0])] * 2
    assert list(Ranks(1, 2).split(range(5))) == [1, 3] and Ranks(1, 2).clouds(12) == range(6, 12)
