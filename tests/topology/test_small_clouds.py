"""Clouds of up to 64 points, and values from one compiled call: the same bits as the general path."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from topokd.errors import DataError, ParameterError
from topokd.topology import Persistence, persistence, results, small_clouds, squared_distances, vietoris_rips
from topokd.topology.engines import ENGINES

pytestmark = pytest.mark.unit


def same(a: Persistence, b: Persistence) -> bool:
    pairs = [
        (x, y)
        for name in ("diagrams", "birth_simplices", "death_simplices", "essential", "essential_simplices")
        for x, y in zip(getattr(a, name), getattr(b, name), strict=True)
    ]
    return all(x.dtype == y.dtype and torch.equal(x, y) for x, y in pairs)


def derivatives(persistence: Persistence, x: Tensor) -> list[Tensor | None]:
    """First and second derivatives of a function of everything that is differentiable."""
    total = sum(
        (d * torch.arange(1.0, 1 + d.numel(), dtype=d.dtype).reshape(d.shape)).sum() for d in persistence.diagrams
    )
    total = total + sum(e.sum() for e in persistence.essential)
    (first,) = torch.autograd.grad(total, x, retain_graph=True)
    (smooth,) = torch.autograd.grad(total, x, create_graph=True)
    (second,) = torch.autograd.grad(smooth.square().sum(), x, allow_unused=True)
    return [first, smooth.detach(), second]


def general(monkeypatch: pytest.MonkeyPatch, plain: bool) -> None:
    """Switch small clouds to the general path; with ``plain`` values too."""
    monkeypatch.setattr(persistence, "is_small", lambda cloud: False)
    if plain:
        monkeypatch.setattr(results, "safe_extent", lambda cloud: -1.0)


@st.composite
def clouds(draw: st.DrawFn) -> Tensor:
    """Random points, lattices full of ties, duplicates, a point far away; up to 64 of them, and more."""
    n, c, seed = draw(st.integers(1, 70)), draw(st.sampled_from([1, 2, 3, 11, 12, 40])), draw(st.integers(0, 999))
    rng = np.random.default_rng(seed)
    kind = draw(st.sampled_from(["random", "lattice", "duplicates", "far", "sphere"]))
    points = rng.integers(0, 3, (n, c)).astype(float) if kind == "lattice" else rng.normal(size=(n, c))
    if kind == "duplicates":
        points[n // 2 :] = points[: n - n // 2]
    if kind == "far":
        points[0] *= 1e7
    if kind == "sphere":
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    return torch.from_numpy(points).to(draw(st.sampled_from([torch.float32, torch.float64])))


@settings(deadline=None, max_examples=80)
@given(
    cloud=clouds(),
    max_dim=st.integers(0, 1),
    tie_unit=st.sampled_from([None, 1.0]),
    tie_tolerance=st.sampled_from([1e-6, 0.0, 0.3]),
    limited=st.booleans(),
)
def test_pairs_values_and_derivatives_are_those_of_the_general_path(
    cloud: Tensor, max_dim: int, tie_unit: float | None, tie_tolerance: float, limited: bool
) -> None:
    threshold = float(torch.pdist(cloud).median()) if limited and len(cloud) > 1 else None
    options: dict[str, Any] = {"max_dim": max_dim, "tie_unit": tie_unit, "tie_tolerance": tie_tolerance}
    x = cloud.requires_grad_()
    persistence = vietoris_rips(x, threshold=threshold, **options)
    for plain in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            general(patch, plain)
            expected = vietoris_rips(x, threshold=threshold, **options)
        assert same(persistence, expected)
        for own, other in zip(derivatives(persistence, x), derivatives(expected, x), strict=True):
            assert (own is None) == (other is None) and (own is None or torch.equal(own, other))


@settings(deadline=None, max_examples=60)
@given(cloud=clouds())
def test_pairs_are_those_of_the_textbook_reduction(cloud: Tensor) -> None:
    points = cloud[:14].double()
    persistence, expected = vietoris_rips(points), ENGINES["reference"].compute(squared_distances(points.numpy()))
    for dim in range(2):
        kept = [
            (birth, death)
            for birth, death in zip(expected.birth[dim].tolist(), expected.death[dim].tolist(), strict=True)
            if _length(points, birth) < _length(points, death)
        ]
        own = zip(persistence.birth_simplices[dim].tolist(), persistence.death_simplices[dim].tolist(), strict=True)
        assert sorted(own) == sorted(kept)


def _length(points: Tensor, simplex: list[int]) -> float:
    return float(torch.cdist(points[simplex], points[simplex], compute_mode="donot_use_mm_for_euclid_dist").max())


@pytest.mark.parametrize("count", [3, 300])
def test_a_batch_gives_the_same_results_as_its_clouds_one_by_one(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(1, 65, (count,), generator=generator).tolist()
    batch: list[Any] = [torch.randn(n, 3, generator=generator).requires_grad_() for n in sizes]
    batch[1] = batch[1].detach().double().requires_grad_()
    batch[2] = torch.randn(90, 5, generator=generator).numpy()  # an array, and too many points
    for workers in (1, 2):
        results = vietoris_rips(batch, workers=workers)
        assert all(same(own, vietoris_rips(x)) for own, x in zip(results, batch, strict=True))
    for k in (0, 1):  # each cloud has its own graph
        (own,) = torch.autograd.grad(results[k].diagrams[0].sum(), batch[k])
        (alone,) = torch.autograd.grad(vietoris_rips(batch[k]).diagrams[0].sum(), batch[k])
        assert torch.equal(own, alone)


def test_results_of_a_call_survive_later_ones() -> None:
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    persistence = vietoris_rips(x)
    before = [d.detach().clone() for d in persistence.diagrams]
    vietoris_rips([torch.randn(64, 3), torch.randn(64, 80)])
    assert all(torch.equal(a, b) for a, b in zip(before, persistence.diagrams, strict=True))
    expected = derivatives(vietoris_rips(x), x)
    assert all(torch.equal(a, b) for a, b in zip(derivatives(persistence, x), expected, strict=True) if a is not None)


def test_gradients_are_derivatives() -> None:
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()

    def values(points: Tensor) -> Tensor:
        return torch.cat([d.reshape(-1) for d in vietoris_rips(points).diagrams])

    assert torch.autograd.gradcheck(values, x) and torch.autograd.gradgradcheck(values, x)


def test_rows_that_are_not_contiguous_are_read_as_they_are() -> None:
    x = torch.randn(3, 40, generator=torch.Generator().manual_seed(0)).T.requires_grad_()
    own, expected = (derivatives(vietoris_rips(rows), x)[0] for rows in (x, x.contiguous()))
    assert torch.equal(own, expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [1e-300, 1e-130, 1e130, 1e300])
def test_scales_whose_squares_vanish_or_overflow_take_the_general_path(scale: float) -> None:
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    near, far = vietoris_rips(x), vietoris_rips(scale * x)
    assert all(torch.equal(a, b) for a, b in zip(near.death_simplices, far.death_simplices, strict=True))
    assert torch.allclose(scale * near.diagrams[1], far.diagrams[1], rtol=1e-12, atol=0)


def test_invalid_clouds_are_named() -> None:
    good, bad = torch.randn(5, 2), torch.tensor([[0.0, 1.0], [float("nan"), 0.0]])
    with pytest.raises(DataError, match="cloud 1: row 1 holds NaN"):
        vietoris_rips([good, bad])
    with pytest.raises(DataError, match=r"row 1 holds NaN"):
        vietoris_rips(bad)
    with pytest.raises(DataError, match="overflow torch.float32"):
        vietoris_rips(torch.tensor([[0.0, 0.0], [3e38, 3e38]]))
    with pytest.raises(DataError, match="cloud 2: expected points"):
        vietoris_rips([good, good, torch.empty(0, 2)])
    with pytest.raises(ParameterError, match="tie_unit is nan"):
        vietoris_rips(good, tie_unit=float("nan"))


def test_threads_do_not_share_scratch_memory() -> None:
    clouds = [torch.randn(40, 3, generator=torch.Generator().manual_seed(k)) for k in range(8)]
    expected = [vietoris_rips(cloud) for cloud in clouds]
    wrong: list[int] = []

    def work(k: int) -> None:
        for _ in range(50):
            if not same(vietoris_rips(clouds[k]), expected[k]):
                wrong.append(k)

    running = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert not wrong


def test_a_cloud_of_more_living_classes_than_one_word_has_bits() -> None:
    """64 points of a sphere in R^64: over a hundred classes live at once."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(small_clouds.MAX_POINTS, 64))
    x = torch.from_numpy(points / np.linalg.norm(points, axis=1, keepdims=True))
    persistence = vietoris_rips(x)
    with pytest.MonkeyPatch.context() as patch:
        general(patch, True)
        assert same(persistence, vietoris_rips(x))
    birth, death = persistence.diagrams[1].T
    assert max(int(((birth <= t) & (t < death)).sum()) for t in birth) > 64
