"""The term ``betti_curve``: the squared L2 distance of the diagrams' Betti curves, with smooth steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pydantic import Field
from torch import Tensor

from topokd.distillation.summaries import CurveOptions, CurveTerm
from topokd.distillation.term import TERMS
from topokd.schema import Positive
from topokd.topology import betti_curve


class BettiCurveOptions(CurveOptions):
    """Betti curves of diagrams, whose steps are replaced by sigmoids: a step has no gradient."""

    width: Positive = Field(0.05, description="of the sigmoids, in the unit of the distances")


class BettiCurveTerm(CurveTerm):
    """(1/B) sum over clouds and degrees of the squared L2 distance of `topokd.topology.betti_curve`."""

    Options = BettiCurveOptions

    def curves(self) -> Callable[..., Tensor]:
        """The Betti curve with the term's width."""
        return partial(betti_curve, width=self.options.width)


TERMS["betti_curve"] = BettiCurveTerm
