"""Norms of each term's gradient, their shares, warnings, and weights that balance them."""

from __future__ import annotations

import logging
import signal
from pathlib import Path

import pytest
import torch

from tests.training.test_stop import Signal, make_batch
from topokd import params as P
from topokd.distillation import DistillationObjective, Losses, NetworkOutput
from topokd.errors import ParameterError
from topokd.models import Tap, build_model
from topokd.stopping import Stopped
from topokd.training import Fit, Hook, Resume, Run, train_student, train_teacher
from topokd.training.gradients import GradientWatch, balanced_weights, gradient_norms
from topokd.training.state import ResumeFolder


@pytest.fixture
def taught(params: P.Params) -> P.Params:
    params = params.with_term("topo", stage=1)
    train_teacher(params, 0)
    return params


def small_step() -> tuple[torch.nn.Module, NetworkOutput, Losses]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    feat = model[0](torch.randn(5, 3))
    logits = model[1](feat)
    tap = Tap(feat, torch.zeros(5, 3, dtype=torch.int64), torch.tensor([5]))
    losses = {"seg": logits.square().mean(), "kd": logits.sum(), "topo": feat.square().sum()}
    return model, NetworkOutput(logits, (tap,)), Losses(losses["seg"], losses)


def test_norms_are_those_of_backward() -> None:
    model, output, losses = small_step()
    norms = gradient_norms(losses.terms, list(model.parameters()), output)
    for name, loss in losses.terms.items():
        model.zero_grad()
        output.logits.retain_grad(), output.taps[0].feat.retain_grad()
        output.logits.grad = output.taps[0].feat.grad = None
        loss.backward(retain_graph=True)
        grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        assert norms[name]["parameters"] == pytest.approx(torch.cat(grads).norm().item(), rel=1e-5)
        logits = 0.0 if output.logits.grad is None else output.logits.grad.norm().item()
        assert norms[name]["logits"] == pytest.approx(logits, rel=1e-5)
        assert norms[name]["taps"] == [pytest.approx(output.taps[0].feat.grad.norm().item(), rel=1e-5)]


def test_balanced_weights_give_the_stated_shares() -> None:
    model, output, losses = small_step()
    norms = gradient_norms(losses.terms, list(model.parameters()), output)
    weights = balanced_weights(norms, {"kd": 0.5, "topo": 0.03})
    for name, share in {"kd": 0.5, "topo": 0.03}.items():
        scaled = gradient_norms({name: weights[name] * losses.terms[name]}, list(model.parameters()), output)
        assert scaled[name]["parameters"] == pytest.approx(share * norms["seg"]["parameters"], rel=1e-4)


@pytest.mark.parametrize(("weight", "side"), [(1e-4, "under"), (50.0, "above"), (0.2, None)])
def test_a_term_whose_gradient_is_negligible_or_dominant_is_named(
    weight: float, side: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    model, output, losses = small_step()
    norms = gradient_norms(losses.terms, list(model.parameters()), output)
    balance = norms["seg"]["parameters"] / norms["kd"]["parameters"]  # weight at which the share is 1
    losses.terms.pop("topo")
    watch, history = GradientWatch(50, {}, "kd-seed0"), {}
    with caplog.at_level(logging.WARNING):
        for step in (0, 50):
            watch.measure(step, losses, model, output, {"kd": weight * balance}, history)
        assert not caplog.records  # 50 steps are too few
        for step in (100, 150):
            watch.measure(step, losses, model, output, {"kd": weight * balance}, history)
    assert len(caplog.records) == (side is not None)  # once
    if side:
        advised = float(f"{0.3 * balance:.2g}")
        assert f"term kd has stayed {side}" in caplog.text
        assert f"terms.kd.weight {advised:g} would make it 30 %" in caplog.text
        assert f"(now {100 * weight:.3g} %, weight {weight * balance:.6g}"[:16] in caplog.text
        assert history["warnings"][0]["step"] == 100 and history["warnings"][0]["side"] == side
        caplog.clear()
        for watched, shares, now in ((advised, {}, {}), (weight * balance, {"kd": weight}, {})):
            watch = GradientWatch(50, shares, "kd-seed0")  # neither with the advice, nor where the share was asked for
            for step in (0, 50, 100, 150):
                watch.measure(step, losses, model, output, {"kd": watched}, now)
        assert not caplog.records


@pytest.mark.long
def test_every_run_records_the_norms_and_watching_changes_no_weight(taught: P.Params) -> None:
    taught = taught.replace(train=taught.train.replace(gradients_every=2))
    watched = train_student(taught, "full", 0)["history"]["gradients"]
    weights = Run("full", 0, taught).checkpoint.read_bytes()
    assert watched["step"] == [0, 2, 4] and set(watched["terms"]) == {"seg", "kd", "topo", "grad"}
    assert all(len(curves["taps"]) == 3 and len(curves["taps"][0]) == 5 for curves in watched["terms"].values())
    assert all(value > 0 for curves in watched["terms"].values() for value in curves["parameters"])
    blind = taught.replace(train=taught.train.replace(gradients_every=0))
    assert train_student(blind, "full", 0)["history"]["gradients"] == {}
    assert Run("full", 0, taught).checkpoint.read_bytes() == weights


@pytest.mark.long
def test_gradnorm_holds_the_stated_share_and_is_deterministic(taught: P.Params) -> None:
    train = taught.train.replace(gradients_every=2, balance="gradnorm", shares={"topo": 0.05, "rkd": 1.0})
    params = taught.replace(train=train)
    first = train_student(params, "full", 0)
    curves = first["history"]["gradients"]["terms"]
    for weight, norm, seg in zip(
        curves["topo"]["weight"], curves["topo"]["parameters"], curves["seg"]["parameters"], strict=True
    ):
        assert weight * norm / seg == pytest.approx(0.05, rel=1e-4)
    assert set(curves["kd"]["weight"]) == {params.terms["kd"]["weight"]}  # has no stated share
    bits = Run("full", 0, params).checkpoint.read_bytes()
    for state in params.workspace.glob("resume/full-seed0-*/*"):
        state.unlink()
    assert train_student(params, "full", 0) == first and Run("full", 0, params).checkpoint.read_bytes() == bits


@pytest.mark.parametrize("stop_after", [2, 3])  # just before a measurement, and between two
def test_a_stopped_run_with_gradnorm_ends_with_the_bits_of_an_uninterrupted_one(
    tmp_path: Path, stop_after: int
) -> None:
    train = P.Train(gradients_every=2, balance="gradnorm", shares={"kd": 0.3})

    def fitted(folder: Path, *hooks: Hook) -> Fit:
        torch.manual_seed(0)
        student, teacher = (build_model("ptv3-tiny", num_classes=2) for _ in range(2))
        resume = Resume(ResumeFolder(folder, "run", "key"), every=100)
        objective = DistillationObjective({"kd": {}})
        fit = Fit(student, objective, make_batch, 6, train, seed=0, teacher=teacher, hooks=[*hooks, resume])
        fit.run()
        return fit

    whole = fitted(tmp_path / "whole")
    with pytest.raises(Stopped, match=f"after step {stop_after} of 6"):
        fitted(tmp_path / "cut", Signal(stop_after, lambda: signal.raise_signal(signal.SIGTERM)))
    resumed = fitted(tmp_path / "cut")
    assert resumed.state.history == whole.state.history and resumed.state.weights == whole.state.weights
    assert len(set(whole.state.history["gradients"]["terms"]["kd"]["weight"])) == 3  # set again at each measurement
    first, second = (fit.model.state_dict() for fit in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_balancing_needs_measurements() -> None:
    with pytest.raises(ParameterError, match="set gradients_every above 0"):
        P.schema.validate(P.Train, {"balance": "gradnorm", "gradients_every": 0})
