"""A training on two ranks that is stopped or killed can be resumed, bit-identical to an uninterrupted one."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import psutil
import pytest

from tests.training import launchers
from topokd import params as P
from topokd.io import sha256
from topokd.stopping import Stopped
from topokd.training import train_teacher
from topokd.training.run import Run

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def reference(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of the uninterrupted run."""
    from tests.training.conftest import tiny_params

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOPOKD_ROOT", str(tmp_path_factory.mktemp("whole")))
        return launchers.uninterrupted(launchers.two_ranks(tiny_params(scans)))


@pytest.mark.long
@pytest.mark.parametrize(
    ("launcher", "number", "statuses"),
    [
        (launchers.torchrun, signal.SIGKILL, {-9}),
        (launchers.notebook, signal.SIGTERM, {143}),
        (launchers.notebook, signal.SIGINT, {130}),
    ],
)
def test_a_signal_costs_nothing(
    params: P.Params, reference: str, tmp_path: Path, launcher, number: signal.Signals, statuses: set[int]
):
    shared = launchers.two_ranks(params)
    command = launcher(shared, tmp_path)
    assert launchers.end_early(launchers.start(command, tmp_path), number, shared) in statuses
    assert launchers.start(command, tmp_path).wait(600) == 0
    assert sha256(Run("teacher", 0, shared).checkpoint) == reference


@pytest.mark.long
def test_one_killed_rank_ends_all_and_names_itself(params: P.Params, reference: str, tmp_path: Path):
    shared = launchers.two_ranks(params)
    process = launchers.start(launchers.torchrun(shared, tmp_path), tmp_path)
    deadline, states = threading.Event(), Run("teacher", 0, shared).resume
    while not list(states.rglob("state.pt")):
        assert process.poll() is None and not deadline.wait(0.02)
    ranks = [
        child for child in psutil.Process(process.pid).children(recursive=True) if "topokd.training" in child.cmdline()
    ]
    os.kill(ranks[-1].pid, signal.SIGKILL)
    assert process.wait(600) != 0
    assert train_teacher(shared, 0)["ranks"] == 2  # here: whoever starts the ranks, the state is the same
    assert sha256(Run("teacher", 0, shared).checkpoint) == reference


@pytest.mark.long
def test_the_process_that_started_the_ranks_passes_a_request_on(params: P.Params, reference: str, tmp_path: Path):
    shared = launchers.two_ranks(params)
    states = Run("teacher", 0, shared).resume

    def ask() -> None:
        while not list(states.rglob("state.pt")):
            threading.Event().wait(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask)
    asking.start()
    with pytest.raises(Stopped, match=r"teacher-seed0: stopped by a signal after step \d+ of 40; state saved"):
        train_teacher(shared, 0)
    asking.join()
    train_teacher(shared, 0)
    assert sha256(Run("teacher", 0, shared).checkpoint) == reference
