"""Distillation: what a student learns from a teacher (Sec. 3.2-3.4).

Each loss stands alone and takes plain tensors; :class:`DistillationObjective` is their weighted sum, Eq. 8.
"""

from topokd.distillation.logits import LogitLoss
from topokd.distillation.matching import match_rows
from topokd.distillation.objective import DistillationObjective, Losses, NetworkOutput, freeze, run_teacher
from topokd.distillation.saliency import SaliencyLoss, feature_gradients, saliency_map
from topokd.distillation.segmentation import SegmentationLoss, lovasz_softmax
from topokd.topology import TopologicalLoss

__all__ = [
    "DistillationObjective",
    "LogitLoss",
    "Losses",
    "NetworkOutput",
    "SaliencyLoss",
    "SegmentationLoss",
    "TopologicalLoss",
    "feature_gradients",
    "freeze",
    "lovasz_softmax",
    "match_rows",
    "run_teacher",
    "saliency_map",
]
