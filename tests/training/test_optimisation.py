from __future__ import annotations

import math

import pytest
import torch

from topokd.models import build_model
from topokd.params import Optimizer
from topokd.training.optimisation import build_optimizer, build_schedule, parameter_groups


def test_every_parameter_is_in_one_group_and_blocks_are_slower() -> None:
    model = build_model("ptv3-tiny")
    base, attention = parameter_groups(model, Optimizer(lr=0.002, lr_attention=0.0002))
    assert (base["lr"], attention["lr"]) == (0.002, 0.0002)
    names = {id(p): n for n, p in model.named_parameters()}
    slow = {names[id(p)] for p in attention["params"]}
    fast = {names[id(p)] for p in base["params"]}
    assert slow | fast == set(names.values()) and not slow & fast
    assert {n for n in names.values() if ".attn." in n} <= slow
    assert {"seg_head.weight", "backbone.embedding.stem.conv.weight"} <= fast


def test_schedule_is_one_cosine_cycle_for_each_group() -> None:
    params = Optimizer(pct_start=0.1, div_factor=10, final_div_factor=100)
    optimizer = build_optimizer(build_model("ptv3-tiny"), params)
    schedule, steps, seen = build_schedule(optimizer, 100, params), 100, []
    for _ in range(steps):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    for k, top in enumerate((params.lr, params.lr_attention)):
        curve = [rates[k] for rates in seen]
        assert curve[0] == pytest.approx(top / 10)
        assert max(curve) == pytest.approx(top) and curve.index(max(curve)) == 9  # a tenth of the run rises
        middle = (1 + math.cos(math.pi / 2)) / 2 * (top - top / 1000) + top / 1000
        assert curve[54] == pytest.approx(middle)
        assert curve[-1] == pytest.approx(top / 1000)


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_the_shortest_runs_have_a_schedule_too(steps: int) -> None:
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    schedule = build_schedule(optimizer, steps, Optimizer())
    for _ in range(steps):
        optimizer.step()
        schedule.step()
    assert 0 < optimizer.param_groups[0]["lr"] <= 1
