"""The term ``chamfer``: the plain Chamfer distance of the diagrams, against which Sec. 3.2.2 argues."""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import Field

from topokd.distillation.feature_clouds import DiagramOptions, DiagramTerm
from topokd.distillation.term import TERMS
from topokd.schema import Switch
from topokd.topology import chamfer_distance


class ChamferOptions(DiagramOptions):
    """Plain Chamfer distance of persistence diagrams: all points have equal weight."""

    diagonal: Switch = Field(False, description="let a point go to the diagonal where that is nearer, as in Eq. 2-3")


class ChamferTerm(DiagramTerm):
    """(1/B) sum over clouds and degrees of `topokd.topology.chamfer_distance`: the term ``topo`` without weights."""

    Options = ChamferOptions

    def loss_options(self) -> dict[str, Any]:
        """The distance."""
        return {"distance": partial(chamfer_distance, diagonal=self.options.diagonal)}


TERMS["chamfer"] = ChamferTerm
