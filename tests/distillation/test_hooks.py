"""Taps of any network by module path, and every term on them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from topokd.distillation import TERMS, DistillationObjective, TappedNetwork, freeze, run_teacher
from topokd.errors import DataError, ParameterError


def cnn(width: int, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, 4, 1),
    )


def images(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, 6, 5, generator=generator)
    return x, torch.randint(-1, 4, (2, 6, 5), generator=generator)


def parameters(name: str) -> dict[str, object]:
    """Stages of a network with two taps, for a term that has the option."""
    fields = TERMS[name].Options.model_fields
    return {option: value for option, value in (("stage", 1), ("stages", (0, 1))) if option in fields}


@pytest.mark.parametrize("name", TERMS)
def test_every_term_teaches_a_cnn(name: str) -> None:
    student, teacher = cnn(5), cnn(9, seed=1)
    objective = DistillationObjective({name: parameters(name)})
    tapped, frozen = TappedNetwork(student, ["1", "3"]), freeze(TappedNetwork(teacher, ["1", "3"]))
    x, label = images()
    losses = objective(tapped(x), label, run_teacher(frozen, x, gradients=objective.needs_teacher_gradients))
    losses.terms[name].backward()
    gradient = student[0].weight.grad
    assert gradient is not None and bool(gradient.isfinite().all()) and bool(gradient.abs().sum() > 0)
    assert all(p.grad is None for p in teacher.parameters())


def test_the_network_computes_the_same_as_without_hooks() -> None:
    network = cnn(5)
    x, _ = images()
    plain = network(x)
    plain.square().mean().backward()
    expected = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    output = TappedNetwork(network, ["1", "3"])(x)
    assert torch.equal(output.logits, plain.movedim(1, -1).reshape(-1, 4))
    output.logits.square().mean().backward()
    for parameter, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert not any(module._forward_hooks for module in network.modules())


def test_rows_are_the_output_of_the_module_even_if_later_layers_change_it_in_place() -> None:
    network = cnn(5).eval()
    x, _ = images()
    tap = TappedNetwork(network, ["1"])(x).taps[0]
    torch.testing.assert_close(tap.feat, network[:2](x).movedim(1, -1).reshape(-1, 5))
    assert bool((tap.feat < 0).any())  # the ReLU behind it works in place


def test_a_frozen_teacher_has_gradients_of_its_taps() -> None:
    frozen = freeze(TappedNetwork(cnn(5), ["1", "3"]))
    output = run_teacher(frozen, images()[0], gradients=True)
    first, second = torch.autograd.grad(output.logits.sum(), [tap.feat for tap in output.taps])
    assert first.abs().sum() > 0 and second.abs().sum() > 0
    assert not run_teacher(frozen, images()[0], gradients=False).logits.requires_grad


def test_offsets_divide_the_rows_of_an_mlp() -> None:
    network = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2))
    output = TappedNetwork(network, ["0"])(torch.randn(9, 3), offsets=[4, 9])
    assert output.taps[0].offsets.tolist() == [4, 9]
    assert TappedNetwork(network, ["0"])(torch.randn(9, 3)).taps[0].offsets.tolist() == [9]
    assert TappedNetwork(network, ["0"])(torch.randn(2, 5, 3)).taps[0].offsets.tolist() == [5, 10]


def test_channels_of_a_point_network_may_come_before_its_points() -> None:
    network = nn.Sequential(nn.Conv1d(3, 6, 1), nn.ReLU(), nn.Conv1d(6, 2, 1))
    x = torch.randn(2, 3, 7)
    output = TappedNetwork(network, ["0"], channels=1)(x)
    assert output.taps[0].feat.shape == (14, 6) and output.taps[0].offsets.tolist() == [7, 14]
    assert torch.equal(output.logits, network(x).transpose(1, 2).reshape(14, 2))
    with pytest.raises(ParameterError, match="channels is 0"):
        TappedNetwork(network, ["0"], channels=0)


class Odd(nn.Module):
    """Modules that no tap can be made of."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.never, self.pair = nn.Linear(3, 3), nn.Linear(3, 3), nn.LSTM(3, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.pair(self.twice(self.twice(x)))[0]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("twice", "'twice' ran twice"),
        ("never", "'never' did not run"),
        ("pair", "'pair' returned a tuple"),
        ("nothing", "no module 'nothing'; its first ones are twice, never, pair"),
        ("", "no module ''"),
    ],
)
def test_the_error_for_a_module_that_cannot_be_tapped_explains_why(path: str, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        TappedNetwork(Odd(), [path])(torch.randn(2, 4, 3))


@pytest.mark.parametrize("name", [name for name in TERMS if parameters(name)])
def test_a_stage_that_is_not_tapped_is_named_with_the_option_to_set(name: str) -> None:
    x, label = images()
    student, teacher = TappedNetwork(cnn(5), ["1"])(x), TappedNetwork(cnn(9), ["1"])(x)
    objective = DistillationObjective({name: parameters(name)})
    with pytest.raises(ParameterError, match=f"term {name}: the student has no stage 1; its stages are 0: set `stage"):
        objective(student, label, teacher)
    with pytest.raises(ParameterError, match=f"term {name}: the teacher has no stage 1"):
        objective(TappedNetwork(cnn(5), ["1", "3"])(x), label, teacher)
    with pytest.raises(ParameterError, match=f"term {name}: the teacher has no stage 1"):
        objective.prepare(teacher)


def test_the_teacher_takes_all_arguments_of_its_network() -> None:
    teacher = freeze(TappedNetwork(nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2)), ["0"]))
    output = run_teacher(teacher, torch.randn(9, 3), gradients=True, offsets=[4, 9])
    assert output.taps[0].offsets.tolist() == [4, 9] and output.logits.requires_grad


def test_networks_with_other_resolutions_are_rejected() -> None:
    student, teacher = cnn(5), nn.Sequential(nn.Conv2d(3, 4, 1, stride=2), nn.Upsample(size=(6, 5)))
    x, label = images()
    objective = DistillationObjective({"fitnet": {"stage": 0}})
    with pytest.raises(DataError, match="18 rows and the student's 60, one for each voxel, point or pixel"):
        objective(TappedNetwork(student, ["3"])(x), label, TappedNetwork(teacher, ["0"])(x))


def test_images_of_other_sizes_are_called_images() -> None:
    student, teacher = TappedNetwork(cnn(5), ["3"]), TappedNetwork(cnn(5), ["3"])
    x, label = images()
    output = teacher(x.reshape(1, 3, 6, 10))  # as many pixels, in one image
    with pytest.raises(DataError, match=r"other clouds or images \(first seen at the student's row 30"):
        DistillationObjective({"fitnet": {"stage": 0}})(student(x), label, output)
    with pytest.raises(DataError, match="one row per matched voxel or pixel; they have 60 and 120 rows in 1 and 1"):
        DistillationObjective({"kd": {}})(student(x), label, teacher(torch.cat([x, x])))


def test_the_culprit_is_named_where_logits_are_not_finite() -> None:
    student, x = TappedNetwork(cnn(5).eval(), ["3"]), images()[0]
    spoilt = x.clone()
    spoilt[1, 0, 2, 2] = torch.nan
    with pytest.raises(DataError, match="input 0 of the network holds NaN or infinity, first in row 1 of 2: leave it"):
        student(spoilt)
    with torch.no_grad():
        student.network[3].weight[2, 0, 0, 0] = torch.nan
    with pytest.raises(DataError, match="weight 3.weight holds NaN or infinity, first in row 2 of 5: its training"):
        student(x)


class Tolerant(nn.Module):
    """A network that replaces missing values itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.nan_to_num())


def test_missing_values_that_a_network_replaces_are_no_error() -> None:
    output = TappedNetwork(Tolerant(), ["layer"])(torch.full((1, 3, 2, 2), torch.nan))
    assert bool(output.logits.isfinite().all())
