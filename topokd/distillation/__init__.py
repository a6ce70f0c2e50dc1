"""Distillation: the losses by which a student learns from a teacher (Sec. 3.2-3.4).

Each loss takes plain tensors and can be used by itself. A term wraps a loss for training and has a name in ``TERMS``;
`DistillationObjective` is the weighted sum of the named terms, Eq. 8.
"""

import importlib
import pkgutil

from topokd.distillation.affinity import AffinityLoss
from topokd.distillation.attention_transfer import AttentionTransferLoss
from topokd.distillation.channelwise import ChannelLoss
from topokd.distillation.decoupled import DecoupledLoss
from topokd.distillation.dist import CorrelationLoss
from topokd.distillation.fitnet import HintLoss
from topokd.distillation.hooks import TappedNetwork
from topokd.distillation.label_smoothing import LabelSmoothingLoss
from topokd.distillation.logits import LogitLoss
from topokd.distillation.matching import match_rows
from topokd.distillation.objective import DistillationObjective, Losses, build_objective, resolve_terms, term_notes
from topokd.distillation.projector import Projector
from topokd.distillation.relational import RelationLoss
from topokd.distillation.saliency import SaliencyLoss
from topokd.distillation.saliency_map import feature_gradients, saliency_map
from topokd.distillation.segmentation import SegmentationLoss, lovasz_softmax
from topokd.distillation.similarity import SimilarityLoss
from topokd.distillation.standardization import StandardizedLogitLoss
from topokd.distillation.teacher import freeze, run_teacher
from topokd.distillation.term import TERMS, NetworkOutput, Step, Term, TermOptions, term_parameters
from topokd.topology import TopologicalLoss

for _module in pkgutil.iter_modules(__path__):  # a term registers itself when its file is imported
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "TERMS",
    "AffinityLoss",
    "AttentionTransferLoss",
    "ChannelLoss",
    "CorrelationLoss",
    "DecoupledLoss",
    "DistillationObjective",
    "HintLoss",
    "LabelSmoothingLoss",
    "LogitLoss",
    "Losses",
    "NetworkOutput",
    "Projector",
    "RelationLoss",
    "SaliencyLoss",
    "SegmentationLoss",
    "SimilarityLoss",
    "StandardizedLogitLoss",
    "Step",
    "TappedNetwork",
    "Term",
    "TermOptions",
    "TopologicalLoss",
    "build_objective",
    "feature_gradients",
    "freeze",
    "lovasz_softmax",
    "match_rows",
    "resolve_terms",
    "run_teacher",
    "saliency_map",
    "term_notes",
    "term_parameters",
]
