"""The term ``silhouette``: the squared L2 distance of the diagrams' power-weighted silhouettes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pydantic import Field
from torch import Tensor

from topokd.distillation.summaries import CurveOptions, CurveTerm
from topokd.distillation.term import TERMS
from topokd.schema import NonNegative
from topokd.topology import silhouette


class SilhouetteOptions(CurveOptions):
    """Silhouettes of diagrams (Chazal, Fasy, Lecci, Rinaldo and Wasserman 2014)."""

    power: NonNegative = Field(1.0, description="exponent of the persistence that weighs a pair")


class SilhouetteTerm(CurveTerm):
    """(1/B) sum over clouds and degrees of the squared L2 distance of `topokd.topology.silhouette`."""

    Options = SilhouetteOptions

    def curves(self) -> Callable[..., Tensor]:
        """The silhouette with the term's power."""
        return partial(silhouette, power=self.options.power)


TERMS["silhouette"] = SilhouetteTerm
