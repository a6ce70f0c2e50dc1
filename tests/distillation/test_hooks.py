"""Taps of any network by module path, and every term on them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from topokd.distillation import TERMS, CorrelationLoss, DistillationObjective, TappedNetwork, freeze, run_teacher
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


class Checkpointed(nn.Module):
    """A network whose block runs inside a checkpoint."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.reentrant = reentrant
        self.stem, self.block, self.head = nn.Linear(3, 8), nn.Sequential(nn.Linear(8, 8), nn.ReLU()), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(checkpoint(self.block, self.stem(x), use_reentrant=self.reentrant))


def test_a_module_that_runs_without_gradients_is_an_error() -> None:
    x = torch.randn(60, 3)
    words = r"module 'block' ran without gradients \(a reentrant checkpoint, or no_grad\): use checkpoint\(..., use_re"
    with pytest.raises(ParameterError, match=words):
        TappedNetwork(Checkpointed(True), ["block"])(x)
    with torch.no_grad():  # a teacher, or validation
        TappedNetwork(Checkpointed(True), ["block"])(x)
    student, other = Checkpointed(False), TappedNetwork(Checkpointed(False), ["block"])(x.flip(0))
    objective = DistillationObjective({"fitnet": {"stage": 0}})
    objective(TappedNetwork(student, ["block"])(x), torch.arange(60) % 4, other).terms["fitnet"].backward()
    assert student.block[0].weight.grad.abs().sum() > 0


class Pooled(nn.Module):
    """A segmenter of images whose middle stage is pooled in one direction."""

    def __init__(self, width: int, pool: tuple[int, int], turned: bool = False) -> None:
        super().__init__()
        torch.manual_seed(width)
        self.full, self.pool, self.head = nn.Conv2d(3, width, 3, padding=1), nn.AvgPool2d(pool), nn.Conv2d(width, 5, 1)
        self.turned = turned

    def forward(self, x: Tensor) -> Tensor:
        logits = nn.functional.interpolate(self.head(self.pool(self.full(x))), size=x.shape[-2:])
        return logits.mT if self.turned else logits


def test_images_of_other_shapes_are_rejected_by_stage_and_by_logits() -> None:
    x, label = torch.randn(2, 3, 16, 8), torch.randint(0, 5, (2, 16, 8))
    first, second = (TappedNetwork(Pooled(4, pool), ["pool"])(x) for pool in ((4, 2), (2, 4)))
    for name, option in (("fitnet", {"stage": 0}), ("at", {"stages": [0]})):
        objective = DistillationObjective({name: option})
        with pytest.raises(DataError, match=rf"term {name}: stage 0 is \(4, 4\) pixels.* and \(8, 2\) in the teacher"):
            objective(first, label, second)
        assert objective(first, label, TappedNetwork(Pooled(6, (4, 2)), ["pool"])(x)).total.isfinite()
    turned = TappedNetwork(Pooled(4, (4, 2), turned=True), ["pool"])(x)
    with pytest.raises(DataError, match=r"student's logits are \(16, 8\) pixels and the teacher's \(8, 16\)"):
        DistillationObjective({"kd": {}})(first, label, turned)
    assert DistillationObjective({"kd": {}})(first, label, second).total.isfinite()


def test_labels_of_a_tapped_network_have_the_axes_of_its_logits() -> None:
    x, label = torch.randn(2, 3, 16, 8), torch.randint(0, 5, (2, 16, 8))
    output, objective = TappedNetwork(Pooled(4, (2, 2)), ["pool"])(x), DistillationObjective()
    assert torch.equal(objective(output, label).total, objective(output, label.flatten()).total)
    with pytest.raises(DataError, match=r"labels of the shape \(2, 8, 16\) do not fit logits of \(2, 16, 8\)"):
        objective(output, label.mT)
    rows = TappedNetwork(nn.Linear(3, 4), [])(torch.randn(8, 3), offsets=[3, 8])
    clouds = [torch.zeros(3, dtype=torch.int64), torch.ones(5, dtype=torch.int64)]
    assert objective(rows, clouds).total.isfinite()
    with pytest.raises(DataError, match=r"the list has \[5, 3\] labels for clouds of \[3, 5\]"):
        objective(rows, clouds[::-1])


def test_the_clouds_of_dist_are_those_of_the_logits_whichever_modules_are_tapped() -> None:
    student, teacher = Pooled(4, (2, 2)), Pooled(6, (2, 2))
    x, label = torch.randn(4, 3, 8, 8), torch.randint(0, 5, (4, 8, 8))
    expected = CorrelationLoss()(student(x), teacher(x))
    for paths in ([], ["pool"], ["pool", "full"], ["full", "pool"]):
        own, other = (TappedNetwork(network, paths)(x) for network in (student, teacher))
        assert torch.equal(DistillationObjective({"dist": {}})(own, label, other).terms["dist"], expected)


def test_affinity_of_an_image_does_not_depend_on_its_place_in_the_batch() -> None:
    student, teacher = (TappedNetwork(Pooled(width, (1, 1)), ["full"]) for width in (4, 6))
    x, label, objective = (
        torch.randn(3, 3, 7, 7),
        torch.randint(0, 5, (3, 7, 7)),
        DistillationObjective({"affinity": {"stage": 0}}),
    )

    def value(order: list[int]) -> float:
        return objective(student(x[order]), label[order], teacher(x[order])).terms["affinity"].item()

    alone = [value([k]) for k in range(3)]
    assert value([0, 1, 2]) == pytest.approx(sum(alone) / 3, rel=1e-5)
    assert value([2, 0, 1]) == pytest.approx(sum(alone) / 3, rel=1e-5)
    assert student(x).taps[0].grid_coord[:, 0].tolist() == [*range(49)] * 3


class Classifier(nn.Module):
    """Rows of several clouds to one row of logits each, as in PyTorch Geometric."""

    def __init__(self, width: int) -> None:
        super().__init__()
        torch.manual_seed(width)
        self.body, self.head = nn.Sequential(nn.Linear(3, width), nn.ReLU()), nn.Linear(width, 4)

    def forward(self, x: Tensor, batch: Tensor) -> Tensor:
        rows = self.body(x)
        return self.head(rows.new_zeros(int(batch.max()) + 1, rows.shape[1]).index_add(0, batch, rows))


@pytest.mark.parametrize("as_batch", [True, False])
def test_logits_with_one_row_per_cloud_are_taken(as_batch: bool) -> None:
    x, batch = torch.randn(80, 3), torch.tensor([0] * 30 + [1] * 50)
    offsets: Any = batch if as_batch else [30, 80]
    terms = {"kd": {}, "dist": {}, "topo": {"stage": 0, "num_points": 16}, "grad": {"stages": [0]}}
    for paths in (["body"], []):
        student, teacher = (TappedNetwork(Classifier(width), paths) for width in (6, 9))
        objective = DistillationObjective(terms if paths else {"kd": {}})
        other = run_teacher(freeze(teacher), x, batch, gradients=True, offsets=offsets)
        own = student(x, batch, offsets=offsets)
        assert own.logits.shape == (2, 4) and own.offsets == [2]
        objective(own, torch.tensor([1, 2]), other).total.backward()
    assert student.network.head.weight.grad.abs().sum() > 0
    with pytest.raises(DataError, match="must rise to the number of rows of the logits, 80"):
        TappedNetwork(nn.Linear(3, 2), [])(x, offsets=[30, 79])


class Points(nn.Module):
    """Features (b, c, n), logits (b, n, k)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        torch.manual_seed(width)
        self.local, self.head = nn.Conv1d(3, width, 1), nn.Conv1d(width, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.local(x)).transpose(1, 2)


def test_channels_may_differ_between_modules_and_logits() -> None:
    x, label = torch.randn(2, 3, 40), torch.randint(0, 4, (2, 40))
    objective = DistillationObjective({"topo": {"stage": 0, "num_points": 16}, "kd": {}})

    def losses(channels: Any) -> Any:
        student, teacher = (TappedNetwork(Points(width), ["local"], channels=channels) for width in (6, 9))
        return objective(student(x), label, teacher(x))

    assert losses({"local": 1}).total.isfinite()
    hint = r"\(three axes mean \(b, n, c\); for \(b, c, n\) pass channels=1 to TappedNetwork, or transpose\)$"
    with pytest.raises(DataError, match=f"80 labels for 8 rows of logits.*{hint}"):
        losses(1)
    with pytest.raises(DataError, match=f"18 rows and the student's 12.*{hint}"):
        losses(2)
    with pytest.raises(ParameterError, match="channels names 'globl', which is not tapped; name one of local, logits"):
        losses({"globl": 1})
    with pytest.raises(ParameterError, match="it must be 2 for"):
        losses({"local": 0})


def test_a_nested_tensor_is_explained() -> None:
    class Padded(nn.Module):
        def __init__(self, **options: bool) -> None:
            super().__init__()
            self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, **options)

        def forward(self, x: Tensor, padding: Tensor) -> Tensor:
            return self.layers(x, src_key_padding_mask=padding)

    x, padding = torch.randn(3, 20, 8), torch.arange(20) > torch.tensor([[14], [20], [20]])
    with pytest.raises(ParameterError, match="'layers.layers.0' returned a nested tensor.*enable_nested_tensor=False"):
        run_teacher(freeze(TappedNetwork(Padded(), ["layers.layers.0"])), x, padding, gradients=False)
    plain = freeze(TappedNetwork(Padded(enable_nested_tensor=False), ["layers.layers.0"]))
    assert run_teacher(plain, x, padding, gradients=False).taps[0].feat.shape == (60, 8)
