from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.gpu import needs_gpu
from topokd import params as P
from topokd.data import Batch, training_batch
from topokd.distillation import DistillationObjective, build_objective
from topokd.errors import TrainingError
from topokd.models.attention import PatchAttention
from topokd.models.convolution.layer import SubmanifoldConv
from topokd.scans import open_dataset
from topokd.training.determinism import deterministic, seeded_model
from topokd.training.fit import Fit
from topokd.training.hooks import Resume, Validate
from topokd.training.state import ResumeFolder


def plain(params: P.Params, **given: object) -> Fit:
    dataset = open_dataset(params.data, params.data_root, "train")
    fields = {
        "model": seeded_model("ptv3-tiny", 19, 0, "student"),
        "objective": DistillationObjective({}),
        "batches": lambda step: training_batch(dataset, params.data, 0, step, 2),
        "steps": 6,
        "train": params.train,
        "seed": 0,
    }
    return Fit(**(fields | given))


def weights(fit: Fit) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in fit.model.state_dict().values()])


def test_the_loss_falls_and_the_history_says_so(params: P.Params) -> None:
    train = params.train.replace(optimizer=P.Optimizer(lr_attention=0.002))
    with deterministic(1):
        history = plain(params, steps=25, train=train, hooks=[Validate(lambda model: 0.25, 3)]).run()
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert history["step"] == list(range(1, 26)) and set(history["terms"]) == {"seg"}
    assert history["val_step"][0] == 3 and history["val_step"][-1] == 25 and set(history["val_miou"]) == {0.25}


def test_an_exception_between_two_states_costs_nothing(params: P.Params, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    with deterministic(1):
        whole = plain(params)
        expected = whole.run()
        folder = ResumeFolder(tmp_path, "run", "key")
        broken = plain(params, hooks=[Resume(folder, 2)])
        draw = broken.batches

        def batches(step: int) -> Batch:
            if step == 5:
                raise Stop
            return draw(step)

        broken.batches = batches
        with pytest.raises(Stop):
            broken.run()
        assert folder.load()["state"]["step"] == 4  # checkpoint_every is 2
        resumed = plain(params, hooks=[Resume(folder, 2)], model=seeded_model("ptv3-tiny", 19, 7, "student"))
        assert resumed.run() == expected
    assert torch.equal(weights(resumed), weights(whole))


def test_reading_ahead_in_other_processes_changes_nothing(params: P.Params) -> None:
    with deterministic(1):
        alone = plain(params, steps=2)
        ahead = plain(params, steps=2, train=params.train.replace(workers=1))
        assert alone.run() == ahead.run()
    assert torch.equal(weights(alone), weights(ahead))


def test_the_draws_of_the_loop_do_not_depend_on_earlier_draws(params: P.Params) -> None:
    with deterministic(1):
        first = plain(params, steps=3).run()
        torch.rand(1000)
        assert plain(params, steps=3).run() == first


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_gpu)])
def test_a_training_leaves_the_generators_of_its_caller_alone(params: P.Params, device: str) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3), torch.rand(3, device=device)
    torch.manual_seed(1)
    plain(params, steps=2, device=torch.device(device)).run()
    assert torch.equal(torch.rand(3), expected[0]) and torch.equal(torch.rand(3, device=device), expected[1])


class Poisoned(DistillationObjective):
    """Not a number at the third step."""

    def forward(self, *args: object) -> object:
        losses = super().forward(*args)
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls == 3:
            losses.terms["seg"] = losses.terms["seg"] * float("nan")
            return dataclasses.replace(losses, total=losses.terms["seg"])
        return losses


def test_a_loss_that_is_not_finite_stops_with_advice(params: P.Params) -> None:
    fit = plain(params, objective=Poisoned({}), name="plain-seed0")
    with (
        deterministic(1),
        pytest.raises(TrainingError, match=r"plain-seed0: the loss of step 3 .*seg nan.*optimizer.lr"),
    ):
        fit.run()


def test_a_gradient_that_is_not_finite_in_what_the_objective_learns_stops_with_advice(params: P.Params) -> None:
    objective = DistillationObjective({"fitnet": {"stage": 0}})
    fit = plain(params, objective=objective, teacher=seeded_model("ptv3-tiny", 19, 0, "teacher"), name="fitnet-seed0")
    fit.prepare()
    with deterministic(1):
        fit.train_step(fit.batches(0))
    next(objective.parameters()).register_hook(lambda gradient: gradient * torch.inf)
    with (
        deterministic(1),
        pytest.raises(TrainingError, match=r"fitnet-seed0: the gradient of what the objective learns .*optimizer.lr"),
    ):
        fit.train_step(fit.batches(0))
    assert all(parameter.isfinite().all() for parameter in objective.parameters())


def test_a_teacher_with_broken_features_stops_with_advice(params: P.Params) -> None:
    teacher = seeded_model("ptv3-tiny", 19, 0, "teacher")
    with torch.no_grad():
        next(teacher.parameters()).fill_(torch.nan)
    fit = plain(params, objective=DistillationObjective({"topo": {}}), teacher=teacher, name="topo-seed0")
    with (
        deterministic(1),
        pytest.raises(TrainingError, match=r"topo-seed0: step 1: teacher's features of cloud 0 .*optimizer.lr"),
    ):
        fit.run()


def test_weights_with_the_best_validation_are_kept(params: P.Params) -> None:
    scores = iter([0.5, 0.2])
    seen = []

    def validate(model: torch.nn.Module) -> float:
        seen.append(model.seg_head.weight.detach().clone())
        return next(scores)

    with deterministic(1):
        fit = plain(params, hooks=[Validate(validate, 3)])
        fit.run()
    assert torch.equal(fit.best_weights["seg_head.weight"], seen[0])
    assert not torch.equal(fit.model.seg_head.weight, seen[0])


def test_second_derivatives_are_computed_by_torch(params: P.Params) -> None:
    objective = DistillationObjective({"grad": {"second_order": True}})
    fit = plain(params, steps=1, objective=objective, teacher=seeded_model("ptv3-tiny", 19, 0, "teacher"))
    fit.run()
    layers = [m for m in fit.model.modules() if isinstance(m, SubmanifoldConv | PatchAttention)]
    assert layers and {layer.backend for layer in layers} == {"torch"}


@needs_gpu
@pytest.mark.parametrize("amp", ["off", "bf16", "fp16"])
def test_every_term_trains_on_a_gpu_and_resumes_after_a_stop(params: P.Params, tmp_path: Path, amp: str) -> None:
    optimizer = P.Optimizer(lr_attention=0.002)
    train = params.train.replace(amp=amp, checkpoint_every=5, optimizer=optimizer)
    objective = build_objective(params, "full")

    def fit(steps: int, **given: object) -> Fit:
        teacher = seeded_model("ptv3-tiny", 19, 0, "teacher")
        given |= {"objective": objective, "teacher": teacher, "device": torch.device("cuda"), "train": train}
        return plain(params, steps=steps, **given)

    with deterministic(2):
        whole = fit(20, hooks=[Resume(ResumeFolder(tmp_path, "whole", "key"), 5)])
        history = whole.run()
        # In float16 the scaler skips the first steps, until its scale is small enough.
        assert history["terms"]["seg"][-1] < (0.95 if amp == "fp16" else 0.8) * history["terms"]["seg"][0]
        assert set(history["terms"]) == {"seg", "topo", "grad", "kd"}
        broken = fit(20, hooks=[Resume(ResumeFolder(tmp_path, "broken", "key"), 5)])
        draw, asked = broken.batches, []

        def batches(step: int) -> Batch:
            asked.append(step)
            if step == 12 and len(asked) < 14:
                raise KeyboardInterrupt
            return draw(step)

        broken.batches = batches
        with pytest.raises(KeyboardInterrupt):
            broken.run()
        resumed = fit(20, hooks=[Resume(ResumeFolder(tmp_path, "broken", "key"), 5)]).run()
    assert resumed["step"] == history["step"]
    # Some of CUDA's sums are not in a fixed order: near, not equal.
    assert resumed["terms"]["seg"] == pytest.approx(history["terms"]["seg"], rel=0.1)
