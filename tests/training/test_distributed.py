"""Several processes that share each batch train as one process does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from topokd import params as P
from topokd.errors import ParameterError
from topokd.io import read_json, sha256
from topokd.training import train_student, train_teacher
from topokd.training.run import Run


@pytest.fixture
def shared(params: P.Params) -> P.Params:
    """Batches of four clouds of different sizes, dropped paths, and every term of Eq. 8."""
    data = params.data.replace(crop_voxels=0)
    train = params.train.replace(
        batch_size=4, student_steps=5, teacher_steps=3, keep_teacher=False, gradients_every=2, validate_scans=2
    )
    return params.replace(data=data, train=train).with_term("fitnet")


def on(ranks: int, params: P.Params) -> P.Params:
    return params.replace(train=params.train.replace(ranks=ranks))


def test_two_and_four_ranks_have_the_curves_of_one_process(shared: P.Params) -> None:
    train_teacher(shared, 0)
    curves = {ranks: train_student(on(ranks, shared), "full", 0) for ranks in (1, 2, 4)}
    print({r: c["history"] for r, c in curves.items()})
    for ranks in (2, 4):
        for name in ("loss", "val_miou"):
            assert curves[ranks]["history"][name] == pytest.approx(curves[1]["history"][name], abs=1e-5)
