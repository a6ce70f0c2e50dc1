"""The term ``signature``: the loss of topological autoencoders, between the teacher's and the student's features."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pydantic import Field
from torch import Tensor

from topokd.distillation.feature_clouds import CloudOptions, CloudTerm
from topokd.distillation.term import TERMS
from topokd.schema import Switch
from topokd.topology import signature_loss


class SignatureOptions(CloudOptions):
    """Signature loss of topological autoencoders (Moor et al. 2020): lengths of both clouds' spanning trees."""

    by_diameter: Switch = Field(False, description="divide each cloud's distances by the largest of them")


class SignatureTerm(CloudTerm):
    """(1/B) sum over clouds of `topokd.topology.signature_loss`."""

    Options = SignatureOptions

    def distance(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The signature loss."""
        return partial(signature_loss, normalize=self.options.by_diameter)


TERMS["signature"] = SignatureTerm
