"""Distillation: the losses by which a student learns from a teacher (Sec. 3.2-3.4).

Each loss takes plain tensors and can be used by itself. A term wraps a loss for training and has a name in ``TERMS``;
`DistillationObjective` is the weighted sum of the named terms, Eq. 8.
"""

import importlib
import pkgutil

from topokd.distillation.logits import LogitLoss
from topokd.distillation.matching import match_rows
from topokd.distillation.objective import DistillationObjective, Losses, build_objective, resolve_terms, term_notes
from topokd.distillation.saliency import SaliencyLoss, feature_gradients, saliency_map
from topokd.distillation.segmentation import SegmentationLoss, lovasz_softmax
from topokd.distillation.teacher import freeze, run_teacher
from topokd.distillation.term import TERMS, NetworkOutput, Step, Term, TermOptions, term_parameters
from topokd.topology import TopologicalLoss

for _module in pkgutil.iter_modules(__path__):  # a term registers itself when its file is imported
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "TERMS",
    "DistillationObjective",
    "LogitLoss",
    "Losses",
    "NetworkOutput",
    "SaliencyLoss",
    "SegmentationLoss",
    "Step",
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
