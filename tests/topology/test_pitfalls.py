"""Errors that other engines and libraries make, each tried on ours."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from topokd.experiments.measurement import process_peak, reset_process_peak
from topokd.experiments.shapes import features
from topokd.topology import ENGINES, reference, squared_distances, vietoris_rips


@pytest.mark.parametrize("channels", [3, 64])
def test_distances_keep_their_digits_near_duplicates_and_far_from_zero(channels: int) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(40, channels))
    points[1] = points[0] + 1e-7 * rng.normal(size=channels)
    points += 1000.0
    ours = squared_distances(points)
    np.testing.assert_allclose(ours, reference.squared_distances(points), rtol=1e-9, atol=0)
    assert (ours.diagonal() == 0).all() and (ours == ours.T).all()


def test_edges_of_length_zero_merge_duplicates_first() -> None:
    """scipy's spanning tree takes a zero for a missing edge."""
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [5.0, 0.0], [1.0, 0.0]])
    assert vietoris_rips(points).diagrams[0][:, 1].tolist() == [1.0, 4.0]


def test_pairs_of_zero_persistence_are_dropped_in_the_precision_of_the_input() -> None:
    grid = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), -1).reshape(-1, 2) * 0.1
    diagram = vietoris_rips(torch.from_numpy(grid).float()).diagrams[1]
    assert len(diagram) == 25 and (diagram[:, 1] > diagram[:, 0]).all()


def test_several_threads_may_call_giotto_at_once() -> None:
    """giotto-ph holds the GIL while it waits for its own threads, so two callers used to deadlock."""
    cloud = np.random.default_rng(0).normal(size=(40, 3))
    counts: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: counts.extend(len(vietoris_rips(cloud, engine="giotto-ph").diagrams[1]) for _ in range(20)),
            daemon=True,
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=40)
    assert len(counts) == 60 and len(set(counts)) == 1


def test_runs_repeat_bit_for_bit() -> None:
    cloud = torch.from_numpy(features(200, np.random.default_rng(0))).float()
    first, second = vietoris_rips(cloud), vietoris_rips(cloud)
    for a, b in zip(first.diagrams + first.death_simplices, second.diagrams + second.death_simplices, strict=True):
        assert torch.equal(a, b)


def test_importing_the_package_loads_no_engine_and_no_upper_layer() -> None:
    heavy = ["numba", "gph", "sklearn", "scipy", "matplotlib", "pandas", "pydantic"]
    heavy += [f"topokd.{name}" for name in ("params", "data", "datasets", "training", "pipeline", "experiments")]
    code = f"import sys, topokd.topology; print(*(m for m in {heavy} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_memory_stays_linear_in_the_number_of_edges() -> None:
    """2,048 points have 2.1 million edges; the bound of 400 MB for 4,096 points, scaled to a quarter."""
    cloud = torch.from_numpy(np.random.default_rng(0).random((2048, 3)))
    vietoris_rips(cloud[:50])
    before = reset_process_peak()
    if before is None:
        pytest.skip("this system does not report the peak memory of a process")
    vietoris_rips(cloud)
    assert process_peak() - before < 120e6


@pytest.mark.parametrize("seed", range(12))
def test_degree_two_of_giotto_names_simplices_whose_edges_all_come_before(seed: int) -> None:
    """The lowest vertices of two lunes need not be adjacent: the search for a tetrahedron must go back."""
    cloud = torch.randn(60, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    result = vietoris_rips(cloud, max_dim=2)
    distances = torch.cdist(cloud, cloud)
    for column, simplices in enumerate((result.birth_simplices[2], result.death_simplices[2])):
        longest = [distances[s][:, s].max() for s in simplices]
        assert all(len(set(s.tolist())) == 3 + column for s in simplices)
        torch.testing.assert_close(torch.stack(longest), result.diagrams[2][:, column])


def test_every_engine_states_a_degree_and_a_preference() -> None:
    assert sorted(ENGINES, key=lambda name: ENGINES[name].preference) == list(ENGINES)
    assert all(engine.max_dim >= 1 for engine in ENGINES.values())
