"""Absurd options and values are rejected by name, before any compiled loop gets them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse
import torch

from topokd import checks
from topokd.errors import DataError, ParameterError
from topokd.topology import (
    SampledRowsLoss,
    TopologicalLoss,
    covering_radius,
    diffeomorphic,
    farthest_point_sampling,
    nearest_costs,
    normalize_features,
    persistence_image,
    persistence_weighted_chamfer,
    precision_term,
    recall_term,
    rtd,
    rtd_lite,
    signature_loss,
    simplex_values,
    sliced_wasserstein_distance,
    squared_distances,
    vietoris_rips,
)
from topokd.topology.filtration_input import check_memory

NAN, INF = float("nan"), float("inf")
P = torch.from_numpy(np.random.default_rng(0).normal(size=(20, 3)))
D = torch.tensor([[0.0, 1.0]])
FAR = P.float().repeat(5, 1) + 10  # where the matrix product in torch.cdist leaves a diagonal that is not zero

IMPOSSIBLE: dict[str, tuple[Callable[[], object], str]] = {
    "threshold NaN": (lambda: vietoris_rips(P, threshold=NAN), "threshold is nan"),
    "threshold below 0": (lambda: vietoris_rips(P, threshold=-1), "threshold is -1"),
    "threshold text": (lambda: vietoris_rips(P, threshold="far"), "threshold is 'far'"),
    "tolerance below 0": (lambda: vietoris_rips(P, tie_tolerance=-1.0), "tie_tolerance is -1.0"),
    "tolerance NaN": (lambda: simplex_values(P, torch.tensor([[0, 1]]), tie_tolerance=NAN), "tie_tolerance is nan"),
    "unit of ties": (lambda: vietoris_rips(P, tie_unit=INF), "tie_unit is inf"),
    "workers": (lambda: vietoris_rips([P, P], workers=0), "workers is 0"),
    "workers below 0": (lambda: TopologicalLoss(workers=-3), "workers is -3"),
    "degree 0.5": (lambda: vietoris_rips(P, max_dim=0.5), "max_dim is 0.5"),
    "degree NaN": (lambda: vietoris_rips(P, max_dim=NAN), "max_dim is nan"),
    "time limit NaN": (lambda: vietoris_rips(P, time_limit=NAN), "time_limit is nan"),
    "gradient": (lambda: vietoris_rips(P, gradient="bigstep"), "gradient is 'bigstep'"),
    "bandwidth 0": (lambda: diffeomorphic(P, 0.0), "bandwidth is 0.0"),
    "bandwidth NaN": (lambda: TopologicalLoss(gradient="diffeomorphic", bandwidth=NAN), "bandwidth is nan"),
    "eps": (lambda: TopologicalLoss(eps=-1.0), "eps is -1.0"),
    "eps NaN": (lambda: persistence_weighted_chamfer(D, D, eps=NAN), "eps is nan"),
    "match_scale 0": (lambda: TopologicalLoss(match_scale=0.0), "match_scale is 0.0"),
    "match_scale NaN": (lambda: TopologicalLoss(match_scale=NAN), "match_scale is nan"),
    "num_points": (lambda: TopologicalLoss(num_points=1), "num_points is 1"),
    "num_points 2.5": (lambda: SampledRowsLoss(rtd_lite, num_points=2.5), "num_points is 2.5"),
    "m 0": (lambda: farthest_point_sampling(P, 0), "m is 0"),
    "m a fraction": (lambda: farthest_point_sampling(P, 2.5), "m is 2.5"),
    "start": (lambda: farthest_point_sampling(P, 2, start=20), "start is 20"),
    "start below 0": (lambda: farthest_point_sampling(P, 2, start=-1), "start is -1"),
}


@pytest.mark.invalid_arguments
@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_an_impossible_option_is_rejected_by_name(name: str) -> None:
    call, message = IMPOSSIBLE[name]
    with pytest.raises(ParameterError, match=message):
        call()


UNUSABLE: dict[str, tuple[Callable[[], object], str]] = {
    "NaN distance": (
        lambda: vietoris_rips(torch.tensor([[0, NAN], [NAN, 0]]), metric="precomputed"),
        "row 0 holds NaN",
    ),
    "negative distance": (lambda: vietoris_rips(-torch.ones(2, 2).fill_diagonal_(0), metric="precomputed"), "negative"),
    "entry of a negative distance": (
        lambda: vietoris_rips(
            torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, -3.0], [2.0, -3.0, 0.0]]), metric="precomputed"
        ),
        r"the distance at \[1, 2\] is -3.0: distances are not negative",
    ),
    "diagonal": (
        lambda: vietoris_rips(torch.ones(2, 2), metric="precomputed"),
        r"the distance at \[0, 0\] is 1.0, but a point is at distance 0 from itself: set the diagonal to 0",
    ),
    "asymmetric distances": (
        lambda: vietoris_rips(torch.tensor([[0.0, 1.0], [2.0, 0.0]]), metric="precomputed"),
        r"the distance at \[0, 1\] is 1.0, that at \[1, 0\] 2.0, but distances are symmetric: store one length",
    ),
    "rounding beside the diagonal": (
        lambda: vietoris_rips(torch.tensor([[0.0, 1.0], [1.0 + 1e-6, 0.0]]), metric="precomputed"),
        r"symmetric: this is rounding.*\(\(D \+ D.T\) / 2\).fill_diagonal_\(0\)",
    ),
    "rounding of cdist": (
        lambda: vietoris_rips(torch.cdist(FAR, FAR), metric="precomputed"),
        r"at distance 0 from itself: this is rounding.*compute_mode='donot_use_mm_for_euclid_dist'",
    ),
    "infinite point": (lambda: vietoris_rips(torch.tensor([[0.0], [INF]])), "row 1 holds NaN or infinity"),
    "complex": (lambda: vietoris_rips(torch.ones(3, 2, dtype=torch.complex64)), "complex"),
    "sparse points": (lambda: vietoris_rips(torch.eye(3).to_sparse()), "metric='precomputed'"),
    "two lengths": (
        lambda: vietoris_rips(
            torch.sparse_coo_tensor([[0, 1], [1, 0]], [1.0, 2.0], (3, 3), check_invariants=True), metric="precomputed"
        ),
        r"edge \[0, 1\] is stored with two lengths|edge \[1, 0\] is stored with two lengths",
    ),
    "diagram of three columns": (lambda: persistence_weighted_chamfer(torch.ones(2, 3), D), r"teacher has the shape"),
    "diagram with NaN": (lambda: persistence_weighted_chamfer(D, torch.tensor([[0.0, NAN]])), "row 0 of student"),
    "subset beyond the cloud": (lambda: covering_radius(P, torch.tensor([3, 20])), "index 20"),
}


@pytest.mark.invalid_arguments
@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_data_is_rejected(name: str) -> None:
    call, message = UNUSABLE[name]
    with pytest.raises(DataError, match=message):
        call()


BAD = P.clone()
BAD[3, 1] = NAN
PAIRS_WITH_NAN = torch.tensor([[0.0, 1.0], [0.5, NAN]], dtype=torch.float64)
WITH_NAN: dict[str, Callable[[], torch.Tensor]] = {
    "vietoris_rips": lambda: vietoris_rips(BAD).diagrams[0],
    "simplex_values": lambda: simplex_values(BAD, torch.tensor([[0, 3, 4]])),
    "squared_distances": lambda: torch.from_numpy(squared_distances(BAD.numpy())[3]),
    "farthest_point_sampling": lambda: farthest_point_sampling(BAD, 5).double(),
    "covering_radius": lambda: covering_radius(BAD, torch.tensor([0])),
    "nearest_costs": lambda: nearest_costs(PAIRS_WITH_NAN, D.double(), 1.0)[1],
    "recall_term": lambda: recall_term(PAIRS_WITH_NAN, D.double()),
    "precision_term": lambda: precision_term(D.double(), PAIRS_WITH_NAN),
    "rtd": lambda: rtd(BAD, P),
    "rtd_lite": lambda: rtd_lite(P, BAD),
    "signature_loss": lambda: signature_loss(BAD, P),
    "TopologicalLoss, student": lambda: TopologicalLoss(10)(BAD, P),
    "TopologicalLoss, teacher": lambda: TopologicalLoss(10)(P, BAD),
}


@pytest.mark.invalid_arguments
@pytest.mark.parametrize("name", WITH_NAN)
def test_no_compiled_loop_turns_nan_into_a_number(name: str) -> None:
    try:
        result = WITH_NAN[name]()
    except DataError as error:
        assert "nan" in str(error).lower() or "finite" in str(error)
    else:
        assert bool(result.isnan().any())


def test_the_advice_about_rounding_works() -> None:
    expected = vietoris_rips(FAR).diagrams[0]
    exact = torch.cdist(FAR, FAR, compute_mode="donot_use_mm_for_euclid_dist")
    rounded = torch.cdist(FAR, FAR)
    for distances, tolerance in ((exact, 1e-5), (((rounded + rounded.T) / 2).fill_diagonal_(0), 0.05)):
        diagram = vietoris_rips(distances, metric="precomputed").diagrams[0]
        torch.testing.assert_close(diagram[-19:], expected[-19:], rtol=0, atol=tolerance)


# -- infinite and sparse distances


@pytest.mark.parametrize("engine", ["reduced", "giotto-ph", "reference"])
@pytest.mark.parametrize("max_dim", [0, 1])
def test_infinite_distances_are_edges_that_never_enter(engine: str, max_dim: int) -> None:
    """Two clouds without an edge between them have the diagrams of each, and a component each that lives on."""
    parts = [torch.from_numpy(np.random.default_rng(k).normal(size=(9, 2))) for k in range(2)]
    distances = [torch.cdist(p, p, compute_mode="donot_use_mm_for_euclid_dist") for p in parts]
    together = torch.full((18, 18), torch.inf, dtype=torch.float64)
    for k, d in enumerate(distances):
        together[9 * k : 9 * (k + 1), 9 * k : 9 * (k + 1)] = (d + d.T) / 2
    persistence = vietoris_rips(together, metric="precomputed", engine=engine, max_dim=max_dim)
    assert len(persistence.essential[0]) == 2
    single = [vietoris_rips((d + d.T) / 2, metric="precomputed", max_dim=max_dim) for d in distances]
    for dim in range(max_dim + 1):
        expected = torch.cat([s.diagrams[dim] for s in single])
        torch.testing.assert_close(persistence.diagrams[dim], expected[expected[:, 1].argsort(stable=True)])
        assert all(not e.isinf().any() for e in persistence.essential)


def test_points_without_any_edge_are_components() -> None:
    alone = torch.full((4, 4), torch.inf).fill_diagonal_(0)
    persistence = vietoris_rips(alone, metric="precomputed")
    assert len(persistence.essential[0]) == 4 and not len(persistence.diagrams[0]) and not len(persistence.diagrams[1])


@pytest.mark.parametrize("both", [False, True], ids=["each edge once", "both places"])
@pytest.mark.parametrize("kind", ["coo", "csr", "scipy"])
def test_sparse_distances_give_the_diagram_of_the_full_matrix(kind: str, both: bool) -> None:
    points = torch.from_numpy(np.random.default_rng(3).normal(size=(25, 2)))
    full = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    full = (full + full.T) / 2
    near = (full < 1.2) & (full > 0)
    matrix = torch.where(near, full, torch.inf).fill_diagonal_(0)
    places = (near if both else near.triu()).nonzero().T
    lengths = full[places[0], places[1]]
    if kind == "scipy":
        sparse: object = scipy.sparse.csr_matrix((lengths.numpy(), places.numpy()), shape=(25, 25))
    else:
        sparse = torch.sparse_coo_tensor(places, lengths, (25, 25))
        sparse = sparse.to_sparse_csr() if kind == "csr" else sparse
    persistence, expected = (vietoris_rips(x, metric="precomputed") for x in (sparse, matrix))
    for a, b in zip(persistence.diagrams + persistence.essential, expected.diagrams + expected.essential, strict=True):
        assert torch.equal(a, b)


def test_the_lengths_of_a_sparse_graph_receive_their_gradient() -> None:
    """A square without diagonals and one chord: the loop is born at the longest side and dies with the chord."""
    edges = torch.tensor([[0, 1, 2, 0, 0], [1, 2, 3, 3, 2]])
    lengths = torch.tensor([1.0, 1.1, 1.2, 1.3, 2.0], requires_grad=True)
    persistence = vietoris_rips(torch.sparse_coo_tensor(edges, lengths, (4, 4)), metric="precomputed")
    persistence.diagrams[1].sum().backward()
    assert persistence.diagrams[1].tolist() == [[pytest.approx(1.3), 2.0]]
    assert lengths.grad.tolist() == [0, 0, 0, 1, 1]


# -- memory


def test_a_cloud_that_does_not_fit_is_rejected_before_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "available_memory", lambda: 10**12)
    check_memory(30_000)
    monkeypatch.setattr(checks, "available_memory", lambda: 4 * 10**9)
    with pytest.raises(DataError, match=r"30,000 points \(449,985,000 distances\) needs 18.0 GB.*sample first"):
        check_memory(30_000)
    with pytest.raises(DataError, match="sample first"):
        vietoris_rips(torch.zeros(1, 1).expand(30_000_000, 1), search=False)


# -- second derivatives


def penalty(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    (slope,) = torch.autograd.grad(function(x), x, create_graph=True)
    return slope.square().sum()


def lengths(x: torch.Tensor) -> torch.Tensor:
    """Squared distances, summed in one order, so that the matrix is symmetric."""
    return (x[:, None] - x[None]).square().sum(dim=2)


SHAPES = torch.randn(30, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
TWICE: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "TopologicalLoss": lambda x: TopologicalLoss(20)(x, SHAPES, torch.tensor([30])),
    "diagrams": lambda x: sum(d.square().sum() for d in vietoris_rips(x).diagrams),
    "precomputed": lambda x: sum(d.square().sum() for d in vietoris_rips(lengths(x), metric="precomputed").diagrams),
}


@pytest.mark.parametrize("name", TWICE)
def test_second_derivatives_are_those_of_finite_differences(name: str) -> None:
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    value = penalty(TWICE[name], x)
    (gradient,) = torch.autograd.grad(value, x)
    direction = torch.randn(30, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    step = 1e-6
    ahead, behind = ((x + s * step * direction).detach().requires_grad_(True) for s in (1, -1))
    numeric = (penalty(TWICE[name], ahead) - penalty(TWICE[name], behind)) / (2 * step)
    assert (gradient * direction).sum().item() == pytest.approx(numeric.item(), rel=1e-4)


def test_second_derivatives_that_do_not_exist_are_rejected() -> None:
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    for function in (
        lambda x: sliced_wasserstein_distance(vietoris_rips(x).diagrams[0], D.double()),
        lambda x: vietoris_rips(x, gradient="diffeomorphic").diagrams[0].sum(),
    ):
        value = penalty(function, x)  # the gradient itself is there
        with pytest.raises(RuntimeError, match="no second derivatives"):
            value.backward()


@pytest.mark.invalid_arguments
@pytest.mark.parametrize(
    "value",
    [np.array([]), np.ones((2, 2)), torch.ones(2), object()],
    ids=["empty array", "array", "tensor", "object"],
)
@pytest.mark.parametrize("option", ["metric", "gradient", "max_dim", "normalize", "how", "dims", "weights"])
def test_an_array_in_place_of_a_word_or_a_degree_is_named(option: str, value: object) -> None:
    x = torch.rand(5, 2)
    calls: dict[str, Callable[[], object]] = {
        "normalize": lambda: TopologicalLoss(normalize=value),  # type: ignore[arg-type]
        "dims": lambda: TopologicalLoss(dims=[value]),  # type: ignore[list-item]
        "weights": lambda: TopologicalLoss(weights=value),  # type: ignore[arg-type]
        "how": lambda: normalize_features(x, value),  # type: ignore[arg-type]
    }
    name = {"how": "normalize"}.get(option, option)
    with pytest.raises(ParameterError, match=f"^{name} is "):
        calls.get(option, lambda: vietoris_rips(x, **{option: value}))()  # type: ignore[call-overload]


@pytest.mark.invalid_arguments  # for the checker, which knows int alone
def test_degrees_may_be_numbers_of_numpy() -> None:
    assert len(vietoris_rips(torch.rand(5, 2), max_dim=np.int64(1)).diagrams) == 2  # type: ignore[call-overload]
    assert TopologicalLoss(dims=(np.int8(0), 1)).dims == (0, 1)


def test_a_bandwidth_whose_square_overflows_is_rejected() -> None:
    with pytest.raises(ParameterError, match=r"bandwidth is 1e\+308: its square is 0 or infinite"):
        persistence_image(torch.tensor([[0.0, 1.0]]), bandwidth=1e308)
