"""The topology layer: sampling, Vietoris-Rips diagrams, their distance, and gradients through critical edges."""

from topokd.topology.chamfer import persistence_weighted_chamfer
from topokd.topology.loss import TeacherDiagrams, TopologicalLoss, normalize_features
from topokd.topology.persistence import Persistence, vietoris_rips
from topokd.topology.sampling import covering_radius, farthest_point_sampling

__all__ = [
    "Persistence",
    "TeacherDiagrams",
    "TopologicalLoss",
    "covering_radius",
    "farthest_point_sampling",
    "normalize_features",
    "persistence_weighted_chamfer",
    "vietoris_rips",
]
