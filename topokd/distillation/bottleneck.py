"""The term ``bottleneck``: the exact bottleneck distance of the diagrams, which Proposition 1 is stated in."""

from __future__ import annotations

from typing import Any

from topokd.distillation.feature_clouds import DiagramOptions, DiagramTerm
from topokd.distillation.term import TERMS
from topokd.topology import bottleneck_distance


class BottleneckOptions(DiagramOptions):
    """Exact bottleneck distance of persistence diagrams; its gradient reaches the worst pair alone."""


class BottleneckTerm(DiagramTerm):
    """(1/B) sum over clouds and degrees of `topokd.topology.bottleneck_distance`."""

    Options = BottleneckOptions

    def loss_options(self) -> dict[str, Any]:
        """The distance."""
        return {"distance": bottleneck_distance}


TERMS["bottleneck"] = BottleneckTerm
