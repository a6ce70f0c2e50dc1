"""The term ``landscape``: the squared L2 distance of the diagrams' first persistence landscapes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

from pydantic import Field
from torch import Tensor

from topokd.distillation.summaries import CurveOptions, CurveTerm
from topokd.distillation.term import TERMS
from topokd.topology import landscape


class LandscapeOptions(CurveOptions):
    """Persistence landscapes of diagrams (Bubenik 2015)."""

    num_landscapes: Annotated[int, Field(strict=True, ge=1)] = Field(5, description="k: the first k are compared")


class LandscapeTerm(CurveTerm):
    """(1/B) sum over clouds and degrees of the squared L2 distance of `topokd.topology.landscape`."""

    Options = LandscapeOptions

    def curves(self) -> Callable[..., Tensor]:
        """The first landscapes."""
        return partial(landscape, k=self.options.num_landscapes)


TERMS["landscape"] = LandscapeTerm
