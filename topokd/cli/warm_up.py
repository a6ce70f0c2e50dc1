"""`topokd warm-up`: compile every kernel ahead, for a container image, a node, or before timing."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from itertools import product
from pathlib import Path

import typer


def warm_up() -> None:
    """Compile all kernels into the cache now; otherwise each is compiled when it is first called.

    The cache is the first of $TOPOKD_CACHE, $NUMBA_CACHE_DIR/topokd, $XDG_CACHE_HOME/topokd and ~/.cache/topokd that
    can be written.
    """
    from topokd.compiled.cache import cache_root

    start = time.perf_counter()
    for compile_some in (_small_clouds, _diagrams_and_losses, _functions_of_diagrams, _voxels, _synthetic_scans):
        compile_some()
    typer.echo(f"all kernels are compiled, in {cache_root() or 'memory only'}: {time.perf_counter() - start:.0f} s")


def _small_clouds() -> None:
    from topokd.topology.native import NATIVES

    for kernel in NATIVES:
        kernel.function  # noqa: B018


def _diagrams_and_losses() -> None:
    import torch

    from topokd.topology import TopologicalLoss, distance_to_measure, simplex_values, vietoris_rips
    from topokd.topology.native import MAX_POINTS

    n = MAX_POINTS + 6  # smaller clouds take other kernels
    for dtype, channels in product((torch.float32, torch.float64), (3, 16)):
        student, teacher = torch.randn(2, n, channels, dtype=dtype, generator=torch.Generator().manual_seed(0))
        for dims in ((0,), (0, 1)):
            TopologicalLoss(num_points=n - 4, dims=dims)(student.requires_grad_(), teacher).backward()
        distances = torch.cdist(teacher.double(), teacher.double(), compute_mode="donot_use_mm_for_euclid_dist")
        vietoris_rips(torch.maximum(distances, distances.T), metric="precomputed")
        simplex_values(student, torch.tensor([[0, 1, 2]])).sum().backward()
    graph = torch.sparse_coo_tensor(torch.tensor([[0], [1]]), torch.ones(1), (n, n), check_invariants=True)
    vietoris_rips(graph, metric="precomputed")
    vietoris_rips(student, certificate=True, cycles=True)
    vietoris_rips(student, weights=partial(distance_to_measure, k=3)).diagrams[1].sum().backward()
    for max_dim in (0, 1):
        vietoris_rips(torch.rand(20, 2), max_dim=max_dim, search=True)


def _functions_of_diagrams() -> None:
    import torch

    from topokd import topology

    diagram = torch.tensor([[0.0, 1.0], [0.2, 0.9]], dtype=torch.float64)
    grid = torch.linspace(0, 1, 5, dtype=torch.float64)
    own, other = diagram.clone().requires_grad_(), diagram.float().requires_grad_()
    for value in (
        topology.persistence_weighted_chamfer(own, own + 1.0),
        topology.persistence_weighted_chamfer(other, other + 1.0),
        topology.wasserstein_distance(own, diagram),
        topology.bottleneck_distance(own, diagram),
        topology.sliced_wasserstein_distance(own, diagram),
        topology.persistence_image(own).sum(),
        topology.landscape(own, grid).sum(),
        topology.silhouette(own, grid).sum(),
    ):
        value.backward()
    points = torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for distance in (topology.rtd, topology.rtd_lite, topology.signature_loss):
        distance(*points).backward()


def _voxels() -> None:
    import numpy as np

    from topokd.data import Scan, voxelize

    xyz = np.random.default_rng(0).uniform(0, 2, (50, 3)).astype(np.float32)
    for label in (np.zeros(50, np.int64), None):
        voxelize(Scan(xyz, np.zeros(50, np.float32), label), 0.1)


def _synthetic_scans() -> None:
    from topokd import params
    from topokd.synthetic import SyntheticLidar

    with tempfile.TemporaryDirectory() as folder:
        small = params.Synthetic(azimuths=32, train_sequences=(0,), val_sequences=(), scans_per_sequence=1)
        SyntheticLidar(Path(folder), "train", small)
