from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from topokd.distillation import LogitLoss


@given(st.integers(1, 8), st.integers(2, 6), st.floats(0.5, 8), st.integers(0, 2**31))
def test_equals_the_definition(n: int, c: int, temperature: float, seed: int) -> None:
    student, teacher = np.random.default_rng(seed).normal(0, 3, (2, n, c))
    total = 0.0
    for i in range(n):
        p = np.exp(teacher[i] / temperature) / np.exp(teacher[i] / temperature).sum()
        q = np.exp(student[i] / temperature) / np.exp(student[i] / temperature).sum()
        total += sum(p * np.log(p / q))
    loss = LogitLoss(temperature)(torch.tensor(student), torch.tensor(teacher))
    assert loss.item() == pytest.approx(temperature**2 * total / n, rel=1e-4, abs=1e-5)


def test_the_gradient_keeps_its_size_when_the_temperature_rises() -> None:
    logits = torch.randn(2, 50, 6, generator=torch.Generator().manual_seed(0))
    sizes = []
    for temperature in (5.0, 50.0):
        student = logits[0].clone().requires_grad_(True)
        LogitLoss(temperature)(student, logits[1]).backward()
        sizes.append(student.grad.norm().item())
    assert sizes[1] == pytest.approx(sizes[0], rel=0.5)


def test_the_teacher_receives_no_gradient() -> None:
    student, teacher = (torch.randn(4, 3, requires_grad=True) for _ in range(2))
    LogitLoss()(student, teacher).backward()
    assert teacher.grad is None and student.grad is not None


@pytest.mark.invalid_arguments
def test_other_classes_are_an_error() -> None:
    with pytest.raises(ValueError, match="same classes"):
        LogitLoss()(torch.zeros(4, 3), torch.zeros(4, 5))
