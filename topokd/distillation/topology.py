"""The term ``topo``, L_topo: the student's features have the persistence diagrams of the teacher's (Sec. 3.2)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from topokd.distillation.feature_clouds import DiagramOptions, DiagramTerm
from topokd.distillation.term import TERMS
from topokd.schema import Positive, TermWeight


class TopologyOptions(DiagramOptions):
    """Topological term: persistence diagrams of one stage's features (Sec. 3.2, Alg. 1-5)."""

    weight: TermWeight = Field(0.3, description="lambda_topo in Eq. 8")
    match_scale: Positive = Field(1.0, description="1: Eq. 2-3 and Alg. 4; 0.5: Alg. 2 (NOTES row 1)")
    eps: Positive = Field(1e-6, description="stabiliser of the sum of weights")


class TopologyTerm(DiagramTerm):
    """L_topo = (1/B) sum over clouds and degrees of PWCD(D_teacher, D_student)  (Eq. 2-3, Alg. 1).

    PWCD is the persistence-weighted Chamfer distance.
    """

    Options = TopologyOptions

    def loss_options(self) -> dict[str, Any]:
        """Options of PWCD, the loss's own distance."""
        return {"match_scale": self.options.match_scale, "eps": self.options.eps}


TERMS["topo"] = TopologyTerm
