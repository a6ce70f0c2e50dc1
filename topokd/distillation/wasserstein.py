"""The term ``wasserstein``: the exact Wasserstein distance of the diagrams (Edelsbrunner and Harer, 2010, VIII.2)."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from pydantic import Field

from topokd.distillation.feature_clouds import DiagramOptions, DiagramTerm
from topokd.distillation.term import TERMS
from topokd.schema import Number
from topokd.topology import wasserstein_distance

AtLeastOne = Annotated[Number, Field(ge=1, allow_inf_nan=False)]


class WassersteinOptions(DiagramOptions):
    """Exact Wasserstein distance of persistence diagrams."""

    order: AtLeastOne = Field(1.0, description="q of the q-Wasserstein distance")
    internal_p: AtLeastOne | None = Field(None, description="p-norm of the plane; null: the maximum norm")


class WassersteinTerm(DiagramTerm):
    """(1/B) sum over clouds and degrees of `topokd.topology.wasserstein_distance`."""

    Options = WassersteinOptions

    def loss_options(self) -> dict[str, Any]:
        """The distance."""
        p = self.options.internal_p
        internal_p = float("inf") if p is None else p
        return {"distance": partial(wasserstein_distance, order=self.options.order, internal_p=internal_p)}


TERMS["wasserstein"] = WassersteinTerm
