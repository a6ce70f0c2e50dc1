"""Differentiable functions of diagrams and of pairs of clouds, for one or a list of them; see docs/functions.md."""

from topokd.topology.functions.bottleneck import bottleneck_distance
from topokd.topology.functions.chamfer import chamfer_distance
from topokd.topology.functions.divergence import rtd, rtd_lite
from topokd.topology.functions.images import persistence_image
from topokd.topology.functions.landscapes import landscape, silhouette
from topokd.topology.functions.signature import signature_loss
from topokd.topology.functions.sliced import sliced_wasserstein_distance
from topokd.topology.functions.summaries import betti_curve, persistence_entropy, total_persistence
from topokd.topology.functions.wasserstein import wasserstein_distance

__all__ = [
    "betti_curve",
    "bottleneck_distance",
    "chamfer_distance",
    "landscape",
    "persistence_entropy",
    "persistence_image",
    "rtd",
    "rtd_lite",
    "signature_loss",
    "silhouette",
    "sliced_wasserstein_distance",
    "total_persistence",
    "wasserstein_distance",
]
