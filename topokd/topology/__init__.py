"""Topology of feature clouds: sampling, Vietoris-Rips diagrams, their distance, gradients through critical edges."""

from topokd.topology.bottleneck import bottleneck_distance
from topokd.topology.chamfer import nearest_costs, persistence_weighted_chamfer, precision_term, recall_term
from topokd.topology.distances import squared_distances
from topokd.topology.engines import ENGINES
from topokd.topology.gradient import simplex_values
from topokd.topology.loss import Normalization, TeacherDiagrams, TopologicalLoss, normalize_features
from topokd.topology.persistence import Persistence, vietoris_rips
from topokd.topology.sampling import covering_radius, farthest_point_sampling

__all__ = [
    "ENGINES",
    "Normalization",
    "Persistence",
    "TeacherDiagrams",
    "TopologicalLoss",
    "bottleneck_distance",
    "covering_radius",
    "farthest_point_sampling",
    "nearest_costs",
    "normalize_features",
    "persistence_weighted_chamfer",
    "precision_term",
    "recall_term",
    "simplex_values",
    "squared_distances",
    "vietoris_rips",
]
