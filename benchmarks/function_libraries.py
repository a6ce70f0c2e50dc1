"""The functions of `benchmarks/functions.py`: ours, those of other libraries, and plain torch, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from engines import installed
from torch import Tensor

from topokd import topology

GRID = np.linspace(0, 1, 100)
IMAGE = {"bandwidth": 0.05, "birth_range": (0.0, 1.0), "persistence_range": (0.0, 1.0)}
Call = Callable[..., Any]


def ours() -> dict[str, Call]:
    t = topology
    return {
        "total_persistence, p=2": partial(t.total_persistence, p=2),
        "persistence_entropy": t.persistence_entropy,
        "betti_curve": partial(t.betti_curve, grid=GRID),
        "landscape": partial(t.landscape, grid=GRID),
        "silhouette": partial(t.silhouette, grid=GRID),
        "persistence_image": partial(t.persistence_image, **IMAGE),
        "wasserstein_distance": t.wasserstein_distance,
        "wasserstein_distance, order 2, p 2": partial(t.wasserstein_distance, order=2, internal_p=2),
        "sliced_wasserstein_distance": t.sliced_wasserstein_distance,
        "bottleneck_distance": t.bottleneck_distance,
        "rtd": t.rtd,
        "rtd_lite": t.rtd_lite,
        "signature_loss": t.signature_loss,
    }


def gudhis() -> dict[str, Call]:
    """The functions of GUDHI, on arrays."""
    if not installed("gudhi"):
        return {}
    import gudhi
    from gudhi import hera
    from gudhi import representations as r

    drawn = {"resolution": len(GRID), "sample_range": [0, 1], "keep_endpoints": True}
    calls: dict[str, Call] = {
        "persistence_entropy": lambda a: r.Entropy()(a),
        "betti_curve": lambda a: r.BettiCurve(predefined_grid=GRID)(a),
        "landscape": lambda a: r.Landscape(**drawn)(a),
        "silhouette": lambda a: r.Silhouette(weight=lambda q: q[1] - q[0], **drawn)(a),
        "persistence_image": lambda a: r.PersistenceImage(0.05, resolution=[20, 20], im_range=[0, 1, 0, 1])(a),
        "sliced_wasserstein_distance": lambda a, b: r.SlicedWassersteinDistance(num_directions=50)(a, b),
        "bottleneck_distance": gudhi.bottleneck_distance,
        "bottleneck_distance (Hera)": partial(hera.bottleneck_distance, delta=1e-9),
    }
    if installed("POT"):
        from gudhi.wasserstein import wasserstein_distance

        plain = partial(wasserstein_distance, keep_essential_parts=False)
        calls["wasserstein_distance"] = plain
        calls["wasserstein_distance, order 2, p 2"] = partial(plain, order=2, internal_p=2)
    return calls


def gudhis_with_gradient() -> dict[str, Call]:
    """The functions with gradients in GUDHI."""
    if not (installed("gudhi") and installed("POT") and installed("eagerpy")):
        return {}
    from gudhi.wasserstein import wasserstein_distance

    plain = partial(wasserstein_distance, keep_essential_parts=False, enable_autodiff=True)
    return {
        "wasserstein_distance": plain,
        "wasserstein_distance, order 2, p 2": partial(plain, order=2, internal_p=2),
    }


def torch_topologicals() -> dict[str, Call]:
    """The functions of torch_topological, on tensors."""
    if not (installed("torch_topological") and installed("POT")):
        return {}
    from torch_topological.nn import SlicedWassersteinDistance, WassersteinDistance
    from torch_topological.nn.data import PersistenceInformation
    from torch_topological.utils import persistent_entropy, total_persistence

    def wrapped(distance: Call) -> Call:
        return lambda a, b: distance([PersistenceInformation([], a)], [PersistenceInformation([], b)])

    return {
        "total_persistence, p=2": partial(total_persistence, p=2),
        "persistence_entropy": persistent_entropy,  # in bits
        "wasserstein_distance": wrapped(WassersteinDistance()),
        "sliced_wasserstein_distance": wrapped(SlicedWassersteinDistance(50)),
    }


def distances(x: Tensor) -> Tensor:
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


def scaled_distances(x: Tensor) -> Tensor:
    """Distances over their 0.9-quantile, as RTD has them."""
    d = distances(x)
    return d / torch.quantile(d.flatten()[: 1 << 24], 0.9)


def naive() -> dict[str, Call]:
    """The formulas in a few lines of torch on whole matrices."""
    grid = torch.from_numpy(GRID)

    def tents(a: Tensor) -> Tensor:
        return torch.minimum(grid - a[:, :1], a[:, 1:] - grid).relu()  # no gradient where it is 0

    def landscape(a: Tensor) -> Tensor:
        missing = a.new_zeros(max(0, 5 - len(a)), len(grid))
        return torch.cat([tents(a), missing]).sort(0, descending=True).values[:5] * 2**0.5

    def image(a: Tensor) -> Tensor:
        cells = torch.linspace(0, 1, 20, dtype=torch.float64)
        square = (a[:, 0, None, None] - cells).square()
        square = square + ((a[:, 1] - a[:, 0])[:, None, None] - cells[:, None]).square()
        return (torch.exp(-square / (2 * 0.05**2)) / (2 * torch.pi * 0.05**2)).sum(0)

    def sliced(a: Tensor, b: Tensor) -> Tensor:
        angle = torch.linspace(-torch.pi / 2, torch.pi / 2, 51, dtype=torch.float64)[:-2]
        lines = torch.stack([angle.cos(), angle.sin()])
        low, high = (d.sum(1, keepdim=True).expand(-1, 2) / 2 for d in (a, b))
        left, right = torch.cat([a, high]) @ lines, torch.cat([b, low]) @ lines
        return (left.sort(0).values - right.sort(0).values).abs().sum(0).mean()

    def wasserstein(a: Tensor, b: Tensor) -> Tensor:
        from scipy.optimize import linear_sum_assignment

        k, m = len(a), len(b)
        between = (a[:, None] - b).abs().amax(2)
        top = torch.cat([between, ((a[:, 1] - a[:, 0]) / 2)[:, None].expand(k, k)], 1)
        bottom = torch.cat([((b[:, 1] - b[:, 0]) / 2).expand(m, m), a.new_zeros(m, k)], 1)
        costs = torch.cat([top, bottom])
        return costs[linear_sum_assignment(costs.detach().numpy())].sum()

    def rtd(x: Tensor, y: Tensor) -> Tensor:
        a, b = scaled_distances(x), scaled_distances(y)
        total = x.new_zeros(())
        for one, other in ((a, b), (b, a)):
            joint = torch.cat([torch.cat([one * 0, one], 1), torch.cat([one, torch.minimum(one, other)], 1)])
            diagram = topology.vietoris_rips((joint + joint.T) / 2, metric="precomputed").diagrams[1]
            total = total + (diagram[:, 1] - diagram[:, 0]).sum()
        return total / 2

    def tree(d: Tensor) -> tuple[np.ndarray, np.ndarray]:
        from scipy.sparse.csgraph import minimum_spanning_tree

        # of the ranks, since SciPy takes an entry of 0 for a missing edge: of equal edges, the first
        edges = np.triu_indices(len(d), 1)
        ranks = np.zeros(d.shape)
        ranks[edges] = 1 + np.argsort(np.argsort(d.detach().numpy()[edges], kind="stable"))
        return minimum_spanning_tree(ranks).nonzero()  # type: ignore[no-any-return]

    def rtd_lite(x: Tensor, y: Tensor) -> Tensor:
        a, b = scaled_distances(x), scaled_distances(y)
        c = torch.minimum(a, b)
        return (a[tree(a)].sum() + b[tree(b)].sum() - 2 * c[tree(c)].sum()) / 2

    def signature(x: Tensor, y: Tensor) -> Tensor:
        a, b = distances(x), distances(y)
        return sum(((a[e] - b[e]).square().sum() / 2 for e in (tree(a), tree(b))), x.new_zeros(()))

    return {
        "landscape": landscape,
        "silhouette": lambda a: 2**0.5 * ((w := a[:, 1] - a[:, 0]) / w.sum()) @ tents(a),
        "persistence_image": image,
        "wasserstein_distance": wasserstein,
        "sliced_wasserstein_distance": sliced,
        "rtd": rtd,
        "rtd_lite": rtd_lite,
        "signature_loss": signature,
    }


def oineuses() -> dict[str, Call]:
    """The functions of Oineus, on arrays; the bottleneck distance exact.

    Its Wasserstein distance is an auction (Hera's), which does not end at this accuracy on diagrams full of ties.
    """
    if not installed("oineus"):
        return {}
    import oineus

    angle = np.linspace(-np.pi / 2, np.pi / 2, 51)[:-2]  # the lines of ours and of GUDHI
    lines = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return {
        "bottleneck_distance": partial(oineus.bottleneck_distance, delta=0.0),
        "sliced_wasserstein_distance": partial(oineus.sliced_wasserstein_distance, directions=lines),
    }


def gudhis_of_clouds() -> dict[str, Call]:
    """RTD from GUDHI's diagram of the doubled matrix (Barannikov et al. 2022, Algorithm 1)."""
    if not installed("gudhi"):
        return {}
    import gudhi

    def rtd(x: np.ndarray, y: np.ndarray) -> float:
        a, b = (scaled_distances(torch.from_numpy(c)).numpy() for c in (x, y))
        total = 0.0
        for one, other in ((a, b), (b, a)):
            joint = np.block([[one * 0, one.T], [one, np.minimum(one, other)]])
            tree = gudhi.RipsComplex(distance_matrix=joint).create_simplex_tree(max_dimension=2)
            tree.compute_persistence()
            pairs = tree.persistence_intervals_in_dimension(1).reshape(-1, 2)
            total += (pairs[:, 1] - pairs[:, 0]).sum()
        return float(total / 2)

    return {"rtd": rtd}


def on_arrays(function: Call) -> Call:
    return lambda *given: function(*(d.numpy() for d in given))
