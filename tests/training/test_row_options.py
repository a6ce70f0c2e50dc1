"""Options of a row other than its terms: its network, its steps, weights averaged over steps; learned projectors."""

from __future__ import annotations

import copy
import io

import torch

from topokd.data import Batch
from topokd.distillation import DistillationObjective
from topokd.models import build_model
from topokd.params import Params, Row, Train
from topokd.training.fit import Fit
from topokd.training.hooks import Average
from topokd.training.run import Run

LOOK = {"label": "a", "short": "a", "color": "#000000"}


def batch() -> Batch:
    grid = torch.cartesian_prod(*[torch.arange(5)] * 3)
    feat = torch.cat([0.2 * grid, torch.zeros(125, 1)], 1)
    return Batch(0.2 * grid, grid, feat, label=grid[:, 2] // 3, offsets=torch.tensor([60, 125]))


def networks() -> tuple[torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(0)
    wide = {"enc_channels": (16, 16, 16, 32, 32)}
    return build_model("ptv3-tiny", num_classes=2), build_model("ptv3-tiny", num_classes=2, **wide)


def resumed(make: type | object, steps: int) -> Fit:
    """A run stopped in the middle, and continued from its saved state by a fresh one."""
    first = make()
    first.prepare()
    for _ in range(steps // 2):
        _step(first)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = make()
    second.prepare()
    second.load_state_dict(torch.load(file))
    for _ in range(steps - steps // 2):
        _step(second)
    return second


def _step(fit: Fit) -> None:
    fit._record(fit.train_step(batch()))
    for hook in fit.hooks:
        hook.after_step(fit)


def test_the_average_is_its_definition_and_survives_a_resume() -> None:
    model, _ = networks()

    def make(hooks: tuple = ()) -> Fit:
        return Fit(copy.deepcopy(model), DistillationObjective({}), lambda _: batch(), 6, Train(), 0, hooks=hooks)

    plain = make()
    plain.prepare()
    average: dict[str, torch.Tensor] = {}
    for step in range(1, 7):
        _step(plain)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, value in plain.model.state_dict().items():
            old = average.get(name, value)
            average[name] = (decay * old + (1 - decay) * value) if value.is_floating_point() else value.clone()
    averaged = make((Average(0.9),))
    averaged.run()
    for name, value in averaged.model.state_dict().items():
        torch.testing.assert_close(value, average[name])
    assert not torch.allclose(averaged.model.seg_head.weight, plain.model.seg_head.weight)
    again = resumed(lambda: make((Average(0.9),)), 6)
    assert all(torch.equal(averaged.model.state_dict()[k], v) for k, v in again.model.state_dict().items())


def test_projectors_learn_with_the_student_and_survive_a_resume() -> None:
    model, teacher = networks()

    def make() -> Fit:
        objective = DistillationObjective({"fitnet": {}, "cwd": {}})
        return Fit(copy.deepcopy(model), objective, lambda _: batch(), 6, Train(), 0, teacher=copy.deepcopy(teacher))

    whole = make()
    whole.run()
    weight = whole.objective.terms["fitnet"].loss.projector.weight
    assert weight.shape == (16, 8) and not torch.equal(weight, torch.eye(16, 8))
    again = resumed(make, 6)
    assert torch.equal(again.objective.terms["fitnet"].loss.projector.weight, weight)
    assert all(torch.equal(whole.model.state_dict()[k], v) for k, v in again.model.state_dict().items())


def test_a_row_has_its_own_network_and_number_of_steps() -> None:
    rows = {"plain": Row(**LOOK), "other": Row(**LOOK, student="ptv3-tiny", steps=2.5)}
    params = Params(rows=rows, train=Train(student_steps=10, teacher_steps=40))
    presets = [Run(name, 0, params).preset for name in ("plain", "other", "teacher")]
    assert presets == [params.model.student, "ptv3-tiny", params.model.teacher]
    assert [Run(name, 0, params).count_steps(5) for name in ("plain", "other", "teacher")] == [10, 25, 40]
