"""The term ``persistence_entropy``: the squared difference of the diagrams' persistence entropy."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from topokd.distillation.feature_clouds import DiagramOptions
from topokd.distillation.summaries import SummaryTerm
from topokd.distillation.term import TERMS
from topokd.topology import persistence_entropy


class PersistenceEntropyOptions(DiagramOptions):
    """Persistence entropy of diagrams (Atienza, Gonzalez-Diaz and Soriano-Trigueros 2020)."""


class PersistenceEntropyTerm(SummaryTerm):
    """(1/B) sum over clouds and degrees of the squared difference of `topokd.topology.persistence_entropy`."""

    Options = PersistenceEntropyOptions

    def summary(self) -> Callable[[Tensor], Tensor]:
        """The entropy."""
        return persistence_entropy


TERMS["persistence_entropy"] = PersistenceEntropyTerm
