"""Topology of feature clouds: sampling, Vietoris-Rips diagrams, functions of them, gradients through critical edges."""

from topokd.topology.chamfer import persistence_weighted_chamfer, precision_term, recall_term
from topokd.topology.critical_edges import simplex_values
from topokd.topology.distances import squared_distances
from topokd.topology.engines import ENGINES
from topokd.topology.functions import (
    betti_curve,
    bottleneck_distance,
    chamfer_distance,
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
from topokd.topology.gradient_kinds import GRADIENTS, Gradient, diffeomorphic
from topokd.topology.loss import TeacherCloud, TeacherDiagrams, TopologicalLoss
from topokd.topology.match_costs import nearest_costs
from topokd.topology.normalize import Normalization, normalize_features
from topokd.topology.one_step import rips_chamfer
from topokd.topology.persistence import Persistence, vietoris_rips
from topokd.topology.sampled import SampledRows, SampledRowsLoss, sampled_rows
from topokd.topology.sampling import covering_radius, farthest_point_sampling
from topokd.topology.weighted import distance_to_measure

__all__ = [
    "ENGINES",
    "GRADIENTS",
    "Gradient",
    "Normalization",
    "Persistence",
    "SampledRows",
    "SampledRowsLoss",
    "TeacherCloud",
    "TeacherDiagrams",
    "TopologicalLoss",
    "betti_curve",
    "bottleneck_distance",
    "chamfer_distance",
    "covering_radius",
    "diffeomorphic",
    "distance_to_measure",
    "farthest_point_sampling",
    "landscape",
    "nearest_costs",
    "normalize_features",
    "persistence_entropy",
    "persistence_image",
    "persistence_weighted_chamfer",
    "precision_term",
    "recall_term",
    "rips_chamfer",
    "rtd",
    "rtd_lite",
    "sampled_rows",
    "signature_loss",
    "silhouette",
    "simplex_values",
    "sliced_wasserstein_distance",
    "squared_distances",
    "total_persistence",
    "vietoris_rips",
    "wasserstein_distance",
]
