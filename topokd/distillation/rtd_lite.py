"""The term ``rtd_lite``: RTD-Lite of the teacher's and the student's features, row by row."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from topokd.distillation.feature_clouds import CloudTerm, DivergenceOptions
from topokd.distillation.term import TERMS
from topokd.topology import rtd_lite


class RTDLiteOptions(DivergenceOptions):
    """RTD-Lite of feature clouds (Tulchinskii et al. 2025): clusters that form at different scales."""


class RTDLiteTerm(CloudTerm):
    """(1/B) sum over clouds of `topokd.topology.rtd_lite`."""

    Options = RTDLiteOptions

    def distance(self) -> Callable[[Tensor, Tensor], Tensor]:
        """RTD-Lite with the term's quantile."""
        return partial(rtd_lite, quantile=self.options.quantile)


TERMS["rtd_lite"] = RTDLiteTerm
