"""Plain mistakes with networks and objectives are errors that name the network and the fix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from topokd.distillation import DistillationObjective, NetworkOutput, TappedNetwork, freeze, run_teacher
from topokd.errors import ParameterError

X, LABEL = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 4


def mlp(width: int) -> nn.Sequential:
    torch.manual_seed(width)
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 4))


def teacher() -> nn.Module:
    return freeze(TappedNetwork(mlp(16), ["1"]))


@pytest.mark.invalid_arguments
def test_plain_outputs_are_told_to_wrap_the_network() -> None:
    objective, student, other = DistillationObjective({"kd": {}}), mlp(8)(X), mlp(16)(X)
    good = TappedNetwork(mlp(8), ["1"])(X)
    with pytest.raises(ParameterError, match="student's output is a Tensor .*: wrap the network in TappedNetwork"):
        objective(student, LABEL, other)
    with pytest.raises(ParameterError, match="teacher's output is a Tensor .*: wrap the network in TappedNetwork"):
        objective(good, LABEL, other)
    with pytest.raises(ParameterError, match="teacher's output is a Tensor"):
        objective.prepare(other)


@pytest.mark.parametrize("gradients", [False, True])
def test_a_plain_teacher_is_told_to_be_wrapped(gradients: bool) -> None:
    with pytest.raises(ParameterError, match="the teacher, a Sequential, .*: wrap the network in TappedNetwork"):
        run_teacher(mlp(8), X, gradients=gradients)
    with pytest.raises(ParameterError, match="wrap the network in TappedNetwork"):
        run_teacher(mlp(8), X, X, gradients=gradients)


class Broken(nn.Module):
    """A network with features whose own code fails."""

    def forward(self, batch: Any, taps: bool = False) -> Any:
        raise TypeError("a fault of its own")


@pytest.mark.parametrize("wrap", [nn.Identity, nn.DataParallel], ids=["plain", "wrapped"])
def test_an_error_inside_a_network_with_features_stays(wrap: Callable[..., nn.Module]) -> None:
    network = Broken() if wrap is nn.Identity else wrap(Broken())
    with pytest.raises(TypeError, match="a fault of its own"):
        run_teacher(network, X, gradients=False)


def compiled(network: nn.Module) -> Any:
    return torch.compile(network, backend="eager")


@pytest.mark.invalid_arguments  # torch.compile cannot trace the checker
@pytest.mark.parametrize("wrap", [compiled, nn.DataParallel])
@pytest.mark.parametrize("gradients", [False, True])
def test_a_tapped_teacher_may_be_wrapped(wrap: Callable[[nn.Module], nn.Module], gradients: bool) -> None:
    plain = teacher()
    expected, output = (run_teacher(network, X, gradients=gradients) for network in (plain, wrap(plain)))
    assert torch.equal(output.logits, expected.logits) and torch.equal(output.taps[0].feat, expected.taps[0].feat)
    objective = DistillationObjective({"grad" if gradients else "topo": {"stages": [0]} if gradients else {"stage": 0}})
    student = TappedNetwork(mlp(8), ["1"])
    assert torch.equal(*(objective(student(X), LABEL, out).total for out in (expected, output)))


def test_the_network_that_ran_without_gradients_is_named() -> None:
    objective, student = DistillationObjective({"grad": {"stages": [0]}}), TappedNetwork(mlp(8), ["1"])
    output = run_teacher(teacher(), X, gradients=True)
    with pytest.raises(ValueError, match=r"the teacher's loss has no graph.* grad needs run_teacher\(.*gradients=True"):
        objective(student(X), LABEL, run_teacher(teacher(), X, gradients=False))
    with torch.no_grad():
        blind = student(X)
        with pytest.raises(
            ValueError, match=r"grad needs gradients also in validation: leave it out there or use torch"
        ):
            objective(blind, LABEL, run_teacher(teacher(), X, gradients=True))
    with pytest.raises(ValueError, match="the student's loss has no graph: the term grad needs a student"):
        objective(blind, LABEL, output)


def test_an_output_made_by_hand_needs_no_offsets() -> None:
    objective = DistillationObjective({"kd": {}, "dist": {}})
    losses = objective(NetworkOutput(X, ()), LABEL % 3, NetworkOutput(X + 1, ()))
    assert losses.terms["kd"].item() == pytest.approx(0, abs=1e-6)
