from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from topokd import params as P
from topokd.data import ScanCache, training_batch
from topokd.data.profile import ScanProfile
from topokd.errors import CheckpointError, ParameterError
from topokd.locks import locked
from topokd.models import load_checkpoint, read_metadata
from topokd.scans import open_dataset
from topokd.training import Fit, Run, load_teacher, train_student, train_teacher
from topokd.training import train as train_module


@pytest.fixture
def taught(params: P.Params) -> P.Params:
    """A profile with a trained teacher of seed 0."""
    train_teacher(params, 0)
    return params


def test_a_teacher_leaves_its_files(taught: P.Params) -> None:
    record = json.loads(Run("teacher", 0, taught).record.read_text())
    assert record["role"] == "teacher" and record["row"] is None and record["terms"] == {}
    assert record["steps"] == 6 and record["history"]["val_step"] == [3, 6]
    assert 0 <= record["evaluation"]["miou_skip"] <= 1 and record["evaluation"]["points"] == 2400
    model = load_checkpoint(Run("teacher", 0, taught).checkpoint)
    assert model.num_classes == 19
    assert Run("teacher", 0, taught).best.is_file()
    live = taught.workspace / "live" / "teacher-seed0" / "plots" / "metrics"
    steps = [line.split("\t")[0] for line in (live / "loss" / "total.tsv").read_text().splitlines()[1:]]
    assert steps == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.long
def test_the_record_holds_the_complete_terms_of_its_row(taught: P.Params) -> None:
    plain, full = train_student(taught, "plain", 0), train_student(taught, "full", 0)
    assert plain["terms"] == {} and list(plain["history"]["terms"]) == ["seg"]
    assert full["row"] == "full" and full["terms"]["kd"] == taught.terms["kd"]
    assert full["terms"]["topo"]["num_points"] == 12 and full["terms"]["grad"] == taught.terms["grad"]
    assert full["teacher"] == "teacher-seed0" and plain["teacher"] is None
    assert set(full["history"]["terms"]) == {"seg", "topo", "grad", "kd"}


def test_students_of_one_seed_start_alike_and_see_the_same(taught: P.Params, monkeypatch: pytest.MonkeyPatch) -> None:
    starts, batches = {}, {}

    def seeded(preset: str, classes: int, seed: int, role: str) -> torch.nn.Module:
        model = original(preset, classes, seed, role)
        starts.setdefault((variant, seed), model.seg_head.weight.detach().clone())
        return model

    def drawn(*args: object) -> object:
        batch = training_batch(*args)
        batches.setdefault((variant, seed), []).append(batch.feat)
        return batch

    original = train_module.seeded_model
    monkeypatch.setattr(train_module, "seeded_model", seeded)
    monkeypatch.setattr(train_module, "training_batch", drawn)
    short = taught.replace(train=taught.train.replace(student_steps=2))
    for variant, seed in (("plain", 0), ("kd", 0), ("plain", 1)):
        train_student(short, variant, seed)
    assert torch.equal(starts["plain", 0], starts["kd", 0]) and not torch.equal(starts["plain", 0], starts["plain", 1])
    assert all(torch.equal(a, b) for a, b in zip(batches["plain", 0], batches["kd", 0], strict=True))
    assert not torch.equal(batches["plain", 0][0], batches["plain", 1][0])


def test_the_students_of_a_seed_learn_from_its_teacher(params: P.Params) -> None:
    params = params.replace(teacher_seeds=(5, 3), train=params.train.replace(teacher_steps=2, student_steps=2))
    train_teacher(params, 3)
    assert train_student(params, "kd", 1)["teacher"] == "teacher-seed3"
    with pytest.raises(CheckpointError, match=r"teacher-seed5.safetensors does not exist.*dvc repro teacher@default-5"):
        train_student(params, "kd", 2)


def test_a_missing_teacher_names_the_stage(params: P.Params) -> None:
    params = params.replace(teacher_seeds=(3,))
    with pytest.raises(CheckpointError, match=r"teacher-seed3.safetensors does not exist.*dvc repro teacher@default-3"):
        train_student(params, "kd", 3)
    train_student(params, "plain", 3)  # needs none


def test_a_teacher_of_another_preset_or_classes_is_an_error(taught: P.Params) -> None:
    other = taught.replace(model=taught.model.replace(teacher="ptv3-teacher-small"))
    with pytest.raises(CheckpointError, match="holds a ptv3-tiny, but model.teacher is ptv3-teacher-small"):
        train_student(other, "kd", 0)
    with pytest.raises(CheckpointError, match=r"trained for 19 classes.*but the data has 2 \(road,car\)"):
        load_teacher(taught, 0, ("road", "car"))


def test_a_damaged_teacher_is_an_error(taught: P.Params) -> None:
    path = Run("teacher", 0, taught).checkpoint
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="teacher-seed0"):
        train_student(taught, "kd", 0)


def test_an_unknown_row_is_an_error(params: P.Params) -> None:
    with pytest.raises(ParameterError, match="did you mean 'kd_topo'"):
        train_student(params, "kd_topology", 0)


@pytest.mark.long
def test_a_finished_run_whose_outputs_vanished_is_not_trained_again(
    taught: P.Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train_student(taught, "kd", 0)
    outputs = [Run("kd", 0, taught).checkpoint, Run("kd", 0, taught).record, Run("kd", 0, taught).best]
    before = [path.read_bytes() for path in outputs]
    for path in outputs:
        path.unlink()
    steps = []
    original = Fit.train_step
    monkeypatch.setattr(Fit, "train_step", lambda self, batch: steps.append(1) or original(self, batch))
    assert train_student(taught, "kd", 0) == first and not steps
    assert [path.read_bytes() for path in outputs] == before
    # But not when something changed that it depends on, here the temperature, there the teacher.
    train_student(taught.with_term("kd", temperature=3.0), "kd", 0)
    assert len(steps) == 6
    train_student(taught, "kd", 0)
    train_teacher(taught.replace(train=taught.train.replace(teacher_steps=2)), 0)
    steps.clear()
    train_student(taught, "kd", 0)
    assert len(steps) == 6


SCRIPT = """
    import sys, time
    from topokd import params as P
    from topokd.training import Fit, train_student
    original = Fit.train_step
    def slow(self, batch):  # print the step for the parent, and give it time to kill
        print(self.state.step, flush=True)
        if "--slow" in sys.argv:
            time.sleep(0.05)
        return original(self, batch)
    Fit.train_step = slow
    train_student(P.load(sys.argv[1]), "full", 0)
"""


@pytest.mark.long
def test_a_killed_run_ends_with_the_bits_of_an_undisturbed_one(taught: P.Params, tmp_path: Path) -> None:
    params = taught.replace(train=taught.train.replace(student_steps=12, checkpoint_every=3))
    P.dump(params, tmp_path / "params.yaml")
    script = textwrap.dedent(SCRIPT)
    command = [sys.executable, "-c", script, str(tmp_path / "params.yaml")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOPOKD_PROGRESS": str(tmp_path / "progress")}
    outputs = [
        Run("full", 0, params).checkpoint,
        Run("full", 0, params).record,
        Run("full", 0, params).best,
    ]

    train_student(params, "full", 0)
    undisturbed = [path.read_bytes() for path in outputs]
    for path in outputs:
        path.unlink()
    for state in (params.workspace / "resume").glob("full-seed0-*/*"):
        state.unlink()

    kill_at = random.Random(time.time()).randint(3, 11)  # another moment each time
    process = subprocess.Popen([*command, "--slow"], stdout=subprocess.PIPE, text=True, env=environment)
    for line in process.stdout:
        if int(line) == kill_at:
            process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and not outputs[0].exists()

    again = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    assert int(again.stdout.split()[0]) >= 3, f"killed at {kill_at}, started from the beginning"
    assert [path.read_bytes() for path in outputs] == undisturbed, f"killed at step {kill_at}"
    reports = map(json.loads, (tmp_path / "progress").read_text().splitlines())
    assert sum(report.get("earlier_seconds", 0.0) for report in reports) > 0.1  # at least three steps were saved


@pytest.mark.long
@pytest.mark.parametrize("second_order", [False, True])
def test_checkpointing_changes_no_weight(taught: P.Params, second_order: bool) -> None:
    params = taught.with_term("grad", second_order=second_order)
    path, weights = Run("full", 0, params).checkpoint, []
    for on in (False, True):
        shutil.rmtree(params.workspace / "resume", ignore_errors=True)
        train_student(params.replace(train=params.train.replace(checkpointing=on)), "full", 0)
        weights.append(path.read_bytes())
    assert weights[0] == weights[1]


@pytest.mark.long
def test_a_cache_and_workers_change_no_weight_and_no_number(taught: P.Params, tmp_path: Path) -> None:
    path = Run("teacher", 0, taught).checkpoint
    weights, record = path.read_bytes(), Run("teacher", 0, taught).record.read_bytes()
    for workers in (0, 2):  # cold, warm
        shutil.rmtree(taught.workspace)
        cached = taught.train.replace(cache=str(tmp_path / "cache"), workers=workers)
        train_teacher(taught.replace(train=cached), 0)
        assert path.read_bytes() == weights and Run("teacher", 0, taught).record.read_bytes() == record
    assert ScanCache(tmp_path / "cache").size()[0] == 6 + 2  # scans of both splits, voxels of one


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU the accelerator may be there")
def test_the_backends_of_the_profile_reach_the_network(params: P.Params) -> None:
    forced = params.train.replace(backends=P.Backends(convolution="spconv"))
    with pytest.raises(ParameterError, match="convolution='spconv' runs on CUDA only"):
        train_teacher(params.replace(train=forced), 0)


def test_a_network_without_intensities_never_sees_any_and_records_that(params):
    """The preset for scans of any sensor: intensities are 0 in training and evaluation."""
    blind = params.replace(data=params.data.replace(intensity=False))
    assert not any(scan.intensity.any() for scan in open_dataset(blind.data, blind.data_root, "train"))
    assert open_dataset(params.data, params.data_root, "train")[0].intensity.any()
    train_teacher(blind, 0)
    metadata = read_metadata(Run("teacher", 0, blind).checkpoint)
    assert metadata["intensity"] == "none"
    profile = ScanProfile.from_json(metadata["scans"])
    assert profile.scans == 4 and profile.high["intensity_high"] == 0 and abs(profile.high["ground"]) < 0.1


def test_a_run_is_trained_by_one_process_at_a_time(params: P.Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one says that it waits until the lock is free; here the first one lets go of it at that moment."""
    said = []
    with contextlib.ExitStack() as first:
        assert first.enter_context(locked(Run("plain", 0, params).resume / "plain-seed0.lock"))
        monkeypatch.setattr(train_module, "notify", lambda _, message: (said.append(message), first.close()))
        train_student(params.replace(train=params.train.replace(student_steps=2)), "plain", 0)
    assert said == ["another process trains plain-seed0: waiting, then resuming from its state"]
