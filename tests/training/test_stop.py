"""A signal asks a training to stop: it saves its state, and the next start ends with the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.conftest import PROJECT
from topokd.data import Batch
from topokd.distillation import DistillationObjective
from topokd.models import build_model
from topokd.params import Train
from topokd.stopping import VARIABLE, Stopped, ask_to_stop
from topokd.training import Fit, Hook, Resume
from topokd.training.determinism import deterministic
from topokd.training.state import ResumeFolder


def make_batch(step: int) -> Batch:
    grid = torch.cartesian_prod(*[torch.arange(6)] * 3)
    feat = torch.cat([0.2 * grid, torch.full((216, 1), 0.1 * step)], 1)
    return Batch(0.2 * grid, grid, feat, label=grid[:, 2] // 3, offsets=torch.tensor([108, 216]))


class Signal(Hook):
    """Calls something after one step."""

    def __init__(self, step: int, action) -> None:
        self.step, self.action = step, action

    def after_step(self, fit: Fit) -> None:
        if fit.state.step == self.step:
            self.action()


def train(folder: Path, *hooks: Hook, every: int = 100) -> Fit:
    torch.manual_seed(0)
    model = build_model("ptv3-tiny", num_classes=2)
    resume = Resume(ResumeFolder(folder, "run", "key"), every=every)
    fit = Fit(model, DistillationObjective({}), make_batch, 6, Train(), seed=0, hooks=[*hooks, resume])
    with deterministic(threads=1):
        fit.run()
    return fit


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_stopped_training_ends_with_the_bits_of_an_uninterrupted_one(tmp_path: Path, number: int):
    before = signal.getsignal(number)
    whole = train(tmp_path / "whole").model.state_dict()
    with pytest.raises(Stopped, match="after step 3 of 6; state saved"):
        train(tmp_path / "cut", Signal(3, lambda: signal.raise_signal(number)))
    assert signal.getsignal(number) is before
    resumed = train(tmp_path / "cut").model.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_signal_during_the_last_step_is_too_late_to_stop_anything(tmp_path: Path):
    assert train(tmp_path, Signal(6, lambda: signal.raise_signal(signal.SIGTERM))).state.step == 6


def test_inside_a_notebook_the_runner_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "stop").mkdir()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "stop"))
    heard: list[bool] = []
    with pytest.raises(Stopped, match="after step 2"):
        train(tmp_path, Signal(2, lambda: heard.append(ask_to_stop(tmp_path / "stop"))))
    assert heard == [True]  # a training was there to hear it
    assert not ask_to_stop(tmp_path / "stop")  # and now there is none


def test_a_training_that_stops_at_once_was_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    training, touch = tmp_path / "training-1", Path.touch
    training.touch()

    def touch_and_close(path: Path) -> None:
        touch(path)
        training.unlink()

    monkeypatch.setattr(Path, "touch", touch_and_close)
    assert ask_to_stop(tmp_path)  # otherwise the runner kills a kernel that is about to say that it saved


NOTEBOOK = """\
# %% tags=["parameters"]
params_file = "params.yaml"
# %%
import time
from pathlib import Path
from topokd.stopping import Stopped, StopRequest
stop = StopRequest()
stop.open()
Path("begun").touch()
while not stop.requested():
    time.sleep(0.02)
stop.close()
raise Stopped("stopped; state saved")
"""


def stopped(folder: Path, notebook: str, number: int) -> tuple[int, str]:
    """Status and messages of a notebook that gets a signal after its file ``begun`` has appeared."""
    (folder / "topokd").mkdir()
    (folder / "dvc.yaml").write_text("stages: {}\n")
    (folder / "results/default").mkdir(parents=True)
    (folder / "results/default/params.yaml").write_text("profile: default\n")
    (folder / "n.py").write_text(notebook)
    environment = {**os.environ, "TOPOKD_ROOT": str(folder), "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "topokd.cli", "notebook", "n.py"]
    process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while not (folder / "begun").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, printed = process.communicate(timeout=240)
    return process.returncode, printed


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_notebook_that_trains_saves_and_ends_with_status_143(tmp_path: Path, number: int):
    status, printed = stopped(tmp_path, NOTEBOOK, number)
    assert status == 143, printed
    assert "state saved" in printed and "Traceback" not in printed


@pytest.mark.long
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_notebook_that_does_not_train_ends_without_a_traceback(tmp_path: Path, number: int, status: int):
    cell = 'import time\nfrom pathlib import Path\nPath("begun").touch()\ntime.sleep(600)\n'
    ended, printed = stopped(tmp_path, NOTEBOOK.split("import time")[0] + cell, number)
    assert ended == status, printed
    assert "n.py: stopped by a signal" in printed and "Traceback" not in printed
