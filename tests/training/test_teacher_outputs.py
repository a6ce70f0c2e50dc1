"""Rows of a seed share one pass of the teacher per step, and end with the bits that they have without sharing."""

from __future__ import annotations

import shutil

import pytest

from topokd import params as P
from topokd.distillation import run_teacher
from topokd.training import Run, train_student, train_teacher
from topokd.training import fit as fit_module
from topokd.training import teacher_outputs as outputs_module

ROWS = ("kd", "kd_topo", "kd_grad", "full")


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Grows by one at each forward pass of a teacher."""
    seen: list[bool] = []

    def counted(*args, gradients: bool):
        seen.append(gradients)
        return run_teacher(*args, gradients=gradients)

    monkeypatch.setattr(fit_module, "run_teacher", counted)
    monkeypatch.setattr(outputs_module, "run_teacher", counted)
    return seen


@pytest.fixture
def taught(params: P.Params) -> P.Params:
    params = params.replace(train_rows=("plain", *ROWS)).with_term("topo", stage=1)
    train_teacher(params, 0)
    return params


def weights(params: P.Params, row: str) -> tuple[bytes, bytes]:
    run = Run(row, 0, params)
    train_student(params, row, 0)
    return run.checkpoint.read_bytes(), run.record.read_bytes()


@pytest.mark.long
def test_one_pass_of_the_teacher_serves_all_rows_with_the_same_bits(taught: P.Params, passes: list[bool]) -> None:
    alone = taught.replace(train=taught.train.replace(keep_teacher=False))
    expected = {row: weights(alone, row) for row in ROWS}
    assert len(passes) == 6 * len(ROWS)
    shutil.rmtree(taught.workspace / "resume")
    passes.clear()
    for row in ROWS:
        assert weights(taught, row) == expected[row], row
    assert len(passes) == 6


@pytest.mark.long
def test_rows_whose_terms_need_different_gradients_share_the_pass(taught: P.Params, passes: list[bool]) -> None:
    """The second row's maps need the graph that the first row's would free."""
    grad = taught.rows["kd_grad"].terms["grad"]
    coarse = taught.rows["kd_grad"].replace(terms={"grad": grad | {"stages": [1], "eps": 1e-4}})
    rows = {**taught.rows, "kd_grad": coarse}
    two = taught.replace(rows=rows, train_rows=("full", "kd_grad"))
    alone = two.replace(train=two.train.replace(keep_teacher=False))
    expected = {row: weights(alone, row) for row in two.train_rows}
    shutil.rmtree(two.workspace / "resume")
    passes.clear()
    assert {row: weights(two, row) for row in two.train_rows} == expected
    assert len(passes) == 6


@pytest.mark.long
def test_missing_and_damaged_files_are_made_again(taught: P.Params, passes: list[bool]) -> None:
    expected = weights(taught, "full")
    files = sorted((taught.workspace / "teacher_outputs").rglob("*.safetensors"))
    assert len(files) == 6 * 3  # logits, maps, diagrams
    files[0].unlink()
    files[7].write_bytes(b"half a file")
    shutil.rmtree(taught.workspace / "resume")
    passes.clear()
    assert weights(taught, "full") == expected
    assert len(passes) == 2


@pytest.mark.long
def test_another_teacher_makes_the_outputs_stale(taught: P.Params, passes: list[bool]) -> None:
    weights(taught, "kd")
    train_teacher(taught.replace(train=taught.train.replace(teacher_steps=2)), 0)
    passes.clear()
    weights(taught, "kd")
    assert len(passes) == 6
    assert len(list((taught.workspace / "teacher_outputs").iterdir())) == 1
