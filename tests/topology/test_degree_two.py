"""Degree 2 on feature clouds, where choosing a tetrahedron's vertices greedily fails, against GUDHI."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.topology.rips_of_gudhi import compare_with_gudhi, generic_cloud
from topokd.topology import vietoris_rips


@pytest.mark.parametrize("seed", range(60))
def test_values_and_critical_edges_equal_gudhis_in_every_degree(seed: int) -> None:
    """Clouds of R^2 to R^64; benchmarks/degree_two.py compares 1,000."""
    pytest.importorskip("gudhi")
    for degree, comparison in enumerate(compare_with_gudhi(generic_cloud(seed, most=32))):
        assert (comparison.different, comparison.off < 1e-12) == (0, True), (degree, comparison)


def test_the_clouds_compared_with_gudhi_have_classes_of_degree_two() -> None:
    clouds = [generic_cloud(seed, most=32) for seed in range(60)]
    assert sum(len(vietoris_rips(torch.as_tensor(cloud), max_dim=2).diagrams[2]) for cloud in clouds) > 40


@pytest.mark.parametrize("seed", range(40))
def test_simplices_of_random_features_exist_and_have_the_values_of_their_pairs(seed: int) -> None:
    """Sixty points of R^8: a third of these seeds once raised an IndexError."""
    points = torch.randn(60, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    persistence = vietoris_rips(points, max_dim=2)
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").numpy()
    for degree in (1, 2):
        for column, simplices in enumerate((persistence.birth_simplices, persistence.death_simplices)):
            size = degree + 1 + column
            assert simplices[degree].shape == (len(persistence.diagrams[degree]), size)
            values = [distances[np.ix_(s, s)].max() for s in simplices[degree].tolist()]
            assert all(len(set(s)) == size for s in simplices[degree].tolist())
            np.testing.assert_allclose(values, persistence.diagrams[degree][:, column].numpy(), rtol=1e-12)
