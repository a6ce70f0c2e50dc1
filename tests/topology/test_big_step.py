"""Big steps: when the edges of a critical set get the target's length, the pair gets there."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from topokd.errors import ParameterError
from topokd.topology import TopologicalLoss, persistence_weighted_chamfer, squared_distances, vietoris_rips
from topokd.topology.big_step import CriticalSets
from topokd.topology.cohomology import cohomology


def cloud(seed: int, n: int = 14) -> np.ndarray:
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.random(n)) * 2 * np.pi
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.15, (n, 2))


def after_the_move(lengths: np.ndarray, edges: np.ndarray, target: float, degree: int) -> np.ndarray:
    moved = lengths.copy()
    moved[edges[:, 0], edges[:, 1]] = moved[edges[:, 1], edges[:, 0]] = target
    return vietoris_rips(moved, metric="precomputed").diagrams[degree].numpy()


def is_there(diagram: np.ndarray, birth: float, death: float) -> bool:
    return bool((np.abs(diagram - np.array([birth, death])).max(axis=1) < 1e-12).any())


@pytest.mark.parametrize("seed", range(12))
def test_a_critical_set_takes_its_pair_to_the_target(seed: int) -> None:
    x = cloud(seed)
    sets = CriticalSets(cohomology(squared_distances(x), cycles=False).certificate)
    persistence = vietoris_rips(sets.lengths, metric="precomputed")
    at = partial(after_the_move, sets.lengths)
    for (birth, death), edge in zip(
        persistence.diagrams[1].numpy(), persistence.birth_simplices[1].tolist(), strict=True
    ):
        creating, gap = tuple(edge), death - birth
        for share in (0.3, 0.8):
            target = birth + share * gap
            assert is_there(at(sets.of_birth(creating, target), target, 1), target, death)
            assert is_there(at(sets.of_death(creating, target), target, 1), birth, target)
        later, earlier = death * 1.1, birth * 0.9
        assert is_there(at(sets.of_death(creating, later), later, 1), birth, later)
        assert is_there(at(sets.of_birth(creating, earlier), earlier, 1), earlier, death)


@pytest.mark.parametrize("seed", range(5))
def test_a_merge_moves_with_all_edges_of_the_cut(seed: int) -> None:
    x = cloud(seed)
    sets = CriticalSets(cohomology(squared_distances(x), cycles=False).certificate)
    persistence = vietoris_rips(sets.lengths, metric="precomputed")
    vertices, edges = persistence.birth_simplices[0][:, 0].tolist(), persistence.death_simplices[0].tolist()
    for (_, death), vertex, edge in zip(persistence.diagrams[0].numpy(), vertices, edges, strict=True):
        for target in (0.6 * death, 1.3 * death):
            moved = sets.of_merge(vertex, tuple(edge), target)
            assert is_there(after_the_move(sets.lengths, moved, target, 0), 0.0, target)


def loss_of(x: torch.Tensor, gradient: str) -> torch.Tensor:
    """Half the squared distance of the longest loop from (0.3, 2)."""
    loops = vietoris_rips(x, gradient=gradient).diagrams[1]
    longest = loops[(loops[:, 1] - loops[:, 0]).argmax()]
    return ((longest - longest.new_tensor([0.3, 2.0])) ** 2).sum() / 2


def test_a_hole_opens_in_fewer_steps_as_more_points_move() -> None:
    generator = torch.Generator().manual_seed(0)
    radius, angle = torch.rand(60, generator=generator).sqrt(), 2 * torch.pi * torch.rand(60, generator=generator)
    start = radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
    reached, moved = {}, {}
    for gradient in ("critical", "big_step"):
        x = start.clone()
        for _ in range(5):
            x.requires_grad_()
            loops = vietoris_rips(x, gradient=gradient).diagrams[1]
            loss = (loops[(loops[:, 1] - loops[:, 0]).argmax(), 1] - 1.0).square() / 2
            (slope,) = torch.autograd.grad(loss, x)
            moved.setdefault(gradient, int((slope != 0).any(dim=1).sum()))
            reached[gradient] = min(loss.item(), reached.get(gradient, 1.0))
            x = (x - 0.25 * slope).detach()
    assert moved["big_step"] > 2 * moved["critical"]
    assert reached["big_step"] < 0.3 * reached["critical"]


def test_diagrams_are_the_same_in_both_precisions() -> None:
    for dtype in (torch.float32, torch.float64):
        x = torch.from_numpy(cloud(0)).to(dtype).requires_grad_()
        plain, big = (vietoris_rips(x, gradient=kind) for kind in ("critical", "big_step"))
        assert all(torch.equal(a, b) for a, b in zip(plain.diagrams, big.diagrams, strict=True))
        assert big.certificate is None and big.diagrams[1].dtype == dtype
        (slope,) = torch.autograd.grad(big.diagrams[1].sum() + big.diagrams[0].sum(), x)
        assert slope.dtype == dtype and bool(slope.isfinite().all())


@pytest.mark.parametrize("scale", [1.0, 2.0**20, 2.0**40])
def test_float32_points_move_as_the_same_points_in_float64(scale: float) -> None:
    """A step is far below the rounding of a float32 diagram of a large cloud."""
    single = (scale * torch.from_numpy(cloud(0))).float()
    moved = []
    for x in (single.clone(), single.double()):
        loss = sum((d[:, 1] - d[:, 0]).sum() for d in vietoris_rips(x.requires_grad_(), gradient="big_step").diagrams)
        moved.append(torch.autograd.grad(loss, x)[0].double())
    torch.testing.assert_close(*moved, rtol=1e-4, atol=1e-4)


def test_a_second_derivative_is_rejected() -> None:
    x = torch.from_numpy(cloud(0)).requires_grad_()
    (slope,) = torch.autograd.grad(loss_of(x, "big_step"), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivatives"):
        slope.sum().backward()


def test_the_topological_loss_accepts_big_step() -> None:
    student = torch.rand(30, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    teacher = torch.rand(30, 6, generator=torch.Generator().manual_seed(1))
    TopologicalLoss(20, gradient="big_step")(student, teacher).backward()
    assert bool(student.grad.isfinite().all()) and bool((student.grad != 0).any())


def test_the_topological_loss_passes_the_step_on() -> None:
    student = torch.rand(20, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    teacher = torch.rand(20, 6, generator=torch.Generator().manual_seed(1))
    gradients = {}
    for step in (1.0, 2.0):
        loss = TopologicalLoss(20, normalize="none", gradient="big_step", step=step)
        (gradients[step],) = torch.autograd.grad(loss(student, teacher), student)
        theirs, ours = vietoris_rips(teacher), vietoris_rips(student, gradient="big_step", step=step)
        terms = [persistence_weighted_chamfer(theirs.diagrams[d], ours.diagrams[d]) for d in (0, 1)]
        (expected,) = torch.autograd.grad(sum(terms), student)
        torch.testing.assert_close(gradients[step], expected)
    assert not torch.equal(gradients[1.0], gradients[2.0])


@pytest.mark.invalid_arguments
@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), "far"])
def test_the_topological_loss_rejects_an_impossible_step(step: object) -> None:
    with pytest.raises(ParameterError, match=f"step is {step!r}"):
        TopologicalLoss(20, gradient="big_step", step=step)


@pytest.mark.invalid_arguments
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step": 0.0}, "step is 0.0"),
        ({"max_dim": 2}, "leave out weights, time_limit and max_dim=2"),
        ({"weights": torch.ones(5)}, "leave out weights"),
        ({"metric": "precomputed"}, "which moves points"),
        ({"search": True}, "gradient='big_step'"),
    ],
)
def test_unsupported_requests_are_rejected(arguments: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        vietoris_rips(torch.rand(5, 2), gradient="big_step", **arguments)
