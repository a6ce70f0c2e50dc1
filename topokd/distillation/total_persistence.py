"""The term ``total_persistence``: the squared difference of the diagrams' total persistence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pydantic import Field
from torch import Tensor

from topokd.distillation.feature_clouds import DiagramOptions
from topokd.distillation.summaries import SummaryTerm
from topokd.distillation.term import TERMS
from topokd.schema import Positive
from topokd.topology import total_persistence


class TotalPersistenceOptions(DiagramOptions):
    """Total persistence of diagrams (Cohen-Steiner, Edelsbrunner, Harer and Mileyko 2010)."""

    power: Positive = Field(1.0, description="p: exponent of each pair's persistence")


class TotalPersistenceTerm(SummaryTerm):
    """(1/B) sum over clouds and degrees of the squared difference of `topokd.topology.total_persistence`."""

    Options = TotalPersistenceOptions

    def summary(self) -> Callable[[Tensor], Tensor]:
        """Total persistence of the term's power."""
        return partial(total_persistence, p=self.options.power)


TERMS["total_persistence"] = TotalPersistenceTerm
