"""Ways in which other engines and libraries go wrong, each tried on ours."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import torch

from topokd.experiments.measurement import process_peak, reset_process_peak
from topokd.experiments.shapes import features
from topokd.topology import vietoris_rips
from topokd.topology.distances import squared_distances


def test_distances_keep_their_digits_near_duplicates_and_far_from_zero() -> None:
    rng = np.random.default_rng(0)
    for c in (3, 64):
        points = rng.normal(size=(40, c))
        points[1] = points[0] + 1e-7 * rng.normal(size=c)
        points += 1000.0
        exact = ((points[:, None].astype(np.longdouble) - points[None]) ** 2).sum(-1)
        ours = squared_distances(points)
        np.testing.assert_allclose(ours, exact.astype(np.float64), rtol=1e-9, atol=0)
        assert (ours.diagonal() == 0).all() and (ours == ours.T).all()


def test_zero_lengths_are_edges_too() -> None:
    """scipy's spanning tree takes a zero for a missing edge; here duplicates must merge, and merge first."""
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [5.0, 0.0], [1.0, 0.0]])
    assert vietoris_rips(points).diagrams[0][:, 1].tolist() == [1.0, 4.0]


def test_pairs_without_lifetime_are_left_out_in_the_precision_of_the_input() -> None:
    grid = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), -1).reshape(-1, 2) * 0.1
    diagram = vietoris_rips(torch.from_numpy(grid).float()).diagrams[1]
    assert len(diagram) == 25 and (diagram[:, 1] > diagram[:, 0]).all()


def test_two_threads_may_call_giotto_at_once() -> None:
    """giotto-ph keeps the GIL while waiting for its own threads: two callers used to wait for each other for ever."""
    cloud = np.random.default_rng(0).normal(size=(40, 3))
    found: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: found.extend(len(vietoris_rips(cloud, engine="giotto-ph").diagrams[1]) for _ in range(20)),
            daemon=True,
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=40)
    assert len(found) == 60 and len(set(found)) == 1


def test_runs_repeat_bit_for_bit() -> None:
    cloud = torch.from_numpy(features(200, np.random.default_rng(0))).float()
    first, second = vietoris_rips(cloud), vietoris_rips(cloud)
    for a, b in zip(first.diagrams + first.death_simplices, second.diagrams + second.death_simplices, strict=True):
        assert torch.equal(a, b)


def test_importing_loads_no_engine() -> None:
    heavy = "'numba', 'gph', 'sklearn', 'matplotlib'"
    code = f"import sys, topokd.topology; print(*(m for m in ({heavy}) if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_memory_stays_linear_in_the_number_of_pairs_of_points() -> None:
    """2,048 points: 2.1 million edges; the bar of 400 MB at 4,096 points scaled to a quarter."""
    cloud = torch.from_numpy(np.random.default_rng(0).random((2048, 3)))
    vietoris_rips(cloud[:50])
    before = reset_process_peak()
    if before is not None:
        vietoris_rips(cloud)
        assert process_peak() - before < 120e6


def test_a_changed_kernel_file_drops_all_caches(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from topokd.topology.kernels import _drop_stale_caches

    (tmp_path / "__pycache__").mkdir()
    source, cache = tmp_path / "loops.py", tmp_path / "__pycache__" / "rips.sweep.py311.nbi"
    source.write_text("one")
    _drop_stale_caches(tmp_path)
    cache.write_text("compiled")
    _drop_stale_caches(tmp_path)
    assert cache.exists()
    source.write_text("two")
    _drop_stale_caches(tmp_path)
    assert not cache.exists()
