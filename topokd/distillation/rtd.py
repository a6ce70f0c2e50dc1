"""The term ``rtd``: representation topology divergence of the teacher's and the student's features, row by row."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from topokd.distillation.feature_clouds import CloudTerm, DivergenceOptions
from topokd.distillation.term import TERMS
from topokd.topology import rtd


class RTDOptions(DivergenceOptions):
    """RTD of feature clouds (Barannikov et al. 2022): bars of degree 1 of a filtration of twice as many points."""


class RTDTerm(CloudTerm):
    """(1/B) sum over clouds of `topokd.topology.rtd`."""

    Options = RTDOptions

    def distance(self) -> Callable[[Tensor, Tensor], Tensor]:
        """RTD with the term's quantile."""
        return partial(rtd, quantile=self.options.quantile)


TERMS["rtd"] = RTDTerm
