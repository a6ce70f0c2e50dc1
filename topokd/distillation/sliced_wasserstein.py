"""The term ``sliced_wasserstein``: the mean Wasserstein distance of the diagrams' projections on lines."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from pydantic import Field

from topokd.distillation.feature_clouds import DiagramOptions, DiagramTerm
from topokd.distillation.term import TERMS
from topokd.topology import sliced_wasserstein_distance


class SlicedWassersteinOptions(DiagramOptions):
    """Sliced Wasserstein distance of persistence diagrams (Carriere, Cuturi and Oudot 2017)."""

    num_directions: Annotated[int, Field(strict=True, ge=2)] = Field(50, description="lines projected on, plus one")


class SlicedWassersteinTerm(DiagramTerm):
    """(1/B) sum over clouds and degrees of `topokd.topology.sliced_wasserstein_distance`."""

    Options = SlicedWassersteinOptions

    def loss_options(self) -> dict[str, Any]:
        """The distance."""
        return {"distance": partial(sliced_wasserstein_distance, num_directions=self.options.num_directions)}


TERMS["sliced_wasserstein"] = SlicedWassersteinTerm
