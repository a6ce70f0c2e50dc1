"""Diagrams and losses where programs really use them: threads, forks, copies of modules."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import runpy
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.topology.clouds import random_cloud
from topokd.topology import SampledRowsLoss, TopologicalLoss, distance_to_measure, rtd_lite, vietoris_rips

CLOUDS = [random_cloud(seed, 60) for seed in range(24)]


def summary(x: np.ndarray) -> tuple[bytes, ...]:
    """Diagrams, critical simplices and the gradient of a cloud, bit for bit."""
    points = torch.from_numpy(x.copy()).requires_grad_(True)
    persistence = vietoris_rips(points, cycles=True)
    sum(d.square().sum() for d in persistence.diagrams).backward()
    parts = [*persistence.diagrams, *persistence.death_simplices, *persistence.cycles, points.grad]
    return tuple(part.detach().numpy().tobytes() for part in parts)


def test_threads_of_the_caller_do_not_disturb_each_other() -> None:
    alone = [summary(x) for x in CLOUDS]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(summary, CLOUDS * 4))
    assert together == alone * 4


def test_lists_in_threads_use_the_pool_of_threads_together() -> None:
    def diagrams(_: int) -> list[torch.Tensor]:
        return [persistence.diagrams[1] for persistence in vietoris_rips(CLOUDS, workers=2)]

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(diagrams, range(8))
    assert all(torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))


def loss_of(seed: int) -> float:
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(seed))
    return TopologicalLoss(20)(x, x**2, torch.tensor([30, 60])).item()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_computes_the_same_after_its_parent_has_used_every_thread() -> None:
    """As workers of a data loader do: the parent's threads do not exist in the child."""
    vietoris_rips(CLOUDS, workers=4)
    expected = [loss_of(seed) for seed in range(3)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(loss_of, range(3)).get(timeout=120) == expected


MODULES = {
    "TopologicalLoss": lambda: TopologicalLoss(20, (0, 1), "none", gradient="diffeomorphic", bandwidth=0.7),
    "TopologicalLoss, weighted": lambda: TopologicalLoss(20, weights=partial(distance_to_measure, k=3)),
    "SampledRowsLoss": lambda: SampledRowsLoss(rtd_lite, 20),
}


@pytest.mark.parametrize("name", MODULES)
def test_copies_of_a_module_are_the_module(name: str) -> None:
    module = MODULES[name]()
    x, teacher = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)), torch.rand(30, 5)
    expected = module(x, teacher)
    assert module.state_dict() == {} and not list(module.parameters())
    other = MODULES[name]()
    other.load_state_dict(module.state_dict())
    for twin in (copy.copy(module), copy.deepcopy(module), pickle.loads(pickle.dumps(module)), other):
        assert torch.equal(twin(x, teacher), expected) and repr(twin) == repr(module)


def test_two_other_engines_have_the_same_diagrams_and_every_certificate_is_accepted() -> None:
    """The short version of benchmarks/zero_differences.py, on other clouds than its report."""
    pytest.importorskip("gudhi"), pytest.importorskip("gph")
    path = Path(__file__).parents[2] / "benchmarks" / "zero_differences.py"
    comparison = runpy.run_path(str(path))["compare"](100, first=10**5)
    assert comparison["pairs"] > 1000
    assert comparison["refused"] == [] and set(map(tuple, comparison["differences"].values())) == {()}


def test_a_persistence_is_pickled_with_its_certificate_and_cycles() -> None:
    persistence = vietoris_rips(CLOUDS[9], certificate=True, cycles=True)
    twin = pickle.loads(pickle.dumps(persistence))
    assert all(
        torch.equal(a, b)
        for a, b in zip(persistence.cycles + persistence.diagrams, twin.cycles + twin.diagrams, strict=True)
    )
    assert np.array_equal(persistence.certificate.witness, twin.certificate.witness)
