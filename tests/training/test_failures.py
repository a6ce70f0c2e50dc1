"""Failures during a training are reported with place and remedy, and saved states stay usable."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.training.test_stop import Signal, train
from topokd import params as P
from topokd.data import prefetch, training_batch
from topokd.errors import DataError, TrainingError
from topokd.scans import open_dataset
from topokd.stopping import Stopped
from topokd.training import load_batch, train_teacher


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True)
    if done.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_the_batch_of_a_loss_that_is_not_finite_is_kept(params: P.Params) -> None:
    diverging = params.replace(train=params.train.replace(optimizer=P.Optimizer(lr=1e30, lr_attention=1e30)))
    with pytest.raises(TrainingError, match=r"step 2:.*train\.optimizer\.lr.*Its batch: .*\.safetensors") as raised:
        train_teacher(diverging, 0)
    file = params.workspace / "failed/teacher-seed0-step2.safetensors"
    assert str(file) in str(raised.value)
    kept, scans = load_batch(file), open_dataset(params.data, params.data_root, "train")
    drawn = training_batch(scans, params.data, 0, 1, params.train.batch_size)
    assert kept.names == drawn.names and len(kept) == params.train.batch_size
    assert kept.label is not None and drawn.label is not None
    assert torch.equal(kept.feat, drawn.feat) and torch.equal(kept.label, drawn.label)


def test_a_worker_that_dies_is_explained(tmp_path: Path) -> None:
    def draw(number: int) -> int:
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    items = prefetch(draw, range(8), workers=1)
    with pytest.raises(DataError, match=r"reads scans died \(DataLoader worker .*train\.workers below 1.*resumes"):
        list(items)


def test_a_full_disk_stops_with_the_path_and_the_last_state_is_whole(small_disk: Path, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole").model.state_dict()
    with pytest.raises(OSError, match="No space left") as raised:
        train(small_disk, Signal(2, lambda: fill(small_disk)), every=1)
    assert raised.value.errno == errno.ENOSPC and str(raised.value.filename).endswith("state.pt")
    (small_disk / "filling").unlink()
    assert [file.name for file in small_disk.rglob("*.pt")] == ["state.pt"]  # no half-written one
    resumed = train(small_disk, every=1).model.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def fill(folder: Path) -> None:
    """Write until nothing more fits."""
    with (folder / "filling").open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"\0" * 4096)
        except OSError:
            return


def test_results_that_cannot_be_written_stop_a_training_before_its_first_step(
    params: P.Params, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    monkeypatch.setenv("TOPOKD_ROOT", str(small_disk))
    drawn: list[int] = []
    monkeypatch.setattr("topokd.training.train.training_batch", lambda *given: drawn.append(1))
    with pytest.raises(OSError, match="Read-only file system") as raised:
        train_teacher(params, 0)
    assert str(small_disk) in str(raised.value.filename) and not drawn


def test_a_half_written_state_is_ignored(tmp_path: Path) -> None:
    """atomic_path's temporary file, as a kill leaves it, is not taken for the state."""
    whole = train(tmp_path / "whole").model.state_dict()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", Signal(3, interrupt), every=2)
    state = next((tmp_path / "cut").rglob("state.pt"))
    (state.parent / ".part-state-x1y2.pt").write_bytes(state.read_bytes()[:100])
    resumed = train(tmp_path / "cut", every=2).model.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def interrupt() -> None:
    """Ctrl-C twice: ends at once, without saving."""
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_saves_the_state_and_stops_with_130(tmp_path: Path) -> None:
    before, whole = signal.getsignal(signal.SIGINT), train(tmp_path / "whole").model.state_dict()
    with pytest.raises(Stopped, match="after step 3 of 6; state saved") as raised:
        train(tmp_path / "cut", Signal(3, lambda: signal.raise_signal(signal.SIGINT)))
    assert raised.value.status == 130 and signal.getsignal(signal.SIGINT) is before
    resumed = train(tmp_path / "cut").model.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
