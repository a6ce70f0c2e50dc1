"""The topology layer: sampling, Vietoris-Rips diagrams, their distance, and gradients through critical edges."""

from topokd.topology.chamfer import persistence_weighted_chamfer
from topokd.topology.functions import (
    betti_curve,
    bottleneck_distance,
    landscape,
    persistence_entropy,
    persistence_image,
    rtd,
    rtd_lite,
    signature_loss,
    silhouette,
    sliced_wasserstein_distance,
    total_persistence,
    wasserstein_distance,
)
from topokd.topology.loss import TeacherDiagrams, TopologicalLoss, normalize_features
from topokd.topology.persistence import Persistence, vietoris_rips
from topokd.topology.sampling import covering_radius, farthest_point_sampling

__all__ = [
    "Persistence",
    "TeacherDiagrams",
    "TopologicalLoss",
    "betti_curve",
    "bottleneck_distance",
    "covering_radius",
    "farthest_point_sampling",
    "landscape",
    "normalize_features",
    "persistence_entropy",
    "persistence_image",
    "persistence_weighted_chamfer",
    "rtd",
    "rtd_lite",
    "signature_loss",
    "silhouette",
    "sliced_wasserstein_distance",
    "total_persistence",
    "vietoris_rips",
    "wasserstein_distance",
]
