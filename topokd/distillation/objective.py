"""L_total: Eq. 8, every term of it, with no more passes through the networks than needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from topokd.data import IGNORE
from topokd.distillation.logits import LogitLoss
from topokd.distillation.matching import VoxelRows, match_rows
from topokd.distillation.saliency import SaliencyLoss, feature_gradients
from topokd.distillation.segmentation import SegmentationLoss
from topokd.params import Saliency, Topology
from topokd.topology import TeacherDiagrams, TopologicalLoss


@dataclass(frozen=True)
class Losses:
    """One step's losses: ``total`` to call ``backward`` on, and every term as it is before its lambda."""

    total: Tensor
    terms: dict[str, Tensor]  # "seg" and those of "topo", "grad", "kd" that are on


@dataclass(frozen=True)
class NetworkOutput:
    """What the objective needs of a network's forward pass: logits (n, classes) and one tap per encoder stage."""

    logits: Tensor
    taps: Sequence[VoxelRows]


class DistillationObjective(nn.Module):
    """L_total = L_seg + lambda_topo L_topo + lambda_grad L_grad + lambda_kd L_kd  (Eq. 8).

    The keywords are the fields of :class:`topokd.params.Distill`, with its defaults. A term whose lambda is 0 is off
    and costs nothing: without L_grad no gradient of the teacher is taken, without any term no teacher is needed.
    The taps may order their rows as they like; the teacher's are matched to the student's by cloud and voxel.

    >>> objective = DistillationObjective(lambda_topo=0.0, lambda_grad=0.0)
    >>> student, teacher = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4)
    >>> losses = objective(NetworkOutput(student, ()), torch.arange(6) % 4, NetworkOutput(teacher, ()))
    >>> losses.total.backward()
    >>> sorted(losses.terms)
    ['kd', 'seg']
    """

    def __init__(
        self,
        lambda_topo: float = 0.3,
        lambda_grad: float = 10.0,
        lambda_kd: float = 0.3,
        temperature: float = 2.0,
        topology: Topology | None = None,
        saliency: Saliency | None = None,
        lovasz: float = 0.0,
    ) -> None:
        super().__init__()
        topology, saliency = topology or Topology(), saliency or Saliency()
        self.weights = {"topo": lambda_topo, "grad": lambda_grad, "kd": lambda_kd}
        self.segmentation = SegmentationLoss(lovasz)
        self.logit = LogitLoss(temperature)
        self.topological = TopologicalLoss(**{k: v for k, v in asdict(topology).items() if k != "stage"})
        self.topology_stage = topology.stage
        self.saliency = SaliencyLoss(eps=saliency.eps, second_order=saliency.second_order)
        self.saliency_stages = saliency.stages

    @property
    def terms(self) -> tuple[str, ...]:
        """The distillation terms that are on."""
        return tuple(name for name, weight in self.weights.items() if weight > 0)

    @property
    def needs_teacher(self) -> bool:
        """Whether any term looks at a teacher."""
        return bool(self.terms)

    @property
    def needs_teacher_gradients(self) -> bool:
        """Whether the teacher has to run with gradients of its activations."""
        return "grad" in self.terms

    def prepare(self, teacher: NetworkOutput) -> TeacherDiagrams | None:
        """Begin what L_topo needs of the teacher alone, on threads of its own, before the student's forward pass.

        Hand the result to :meth:`forward` as ``prepared``: the losses are the same, bit for bit. None where L_topo is
        off. Raises :class:`DataError` when the teacher's features are not finite.
        """
        if "topo" not in self.terms:
            return None
        tap = teacher.taps[self.topology_stage]
        return self.topological.prepare(tap.feat.float(), tap.offsets)

    def forward(
        self,
        student: NetworkOutput,
        label: Tensor,
        teacher: NetworkOutput | None = None,
        prepared: TeacherDiagrams | None = None,
    ) -> Losses:
        """All terms for one batch.

        student, teacher: outputs of the two networks on the same batch (see :func:`run_teacher`); label: (n,) classes
        of the voxels, -1 for none; prepared: what :meth:`prepare` made of the teacher's output, if it was called.
        Raises ``ValueError`` without a teacher when a term needs one.
        """
        terms = {"seg": self.segmentation(student.logits, label)}
        if self.needs_teacher and teacher is None:
            raise ValueError(f"the terms {', '.join(self.terms)} need a teacher's output")
        if teacher is not None and "topo" in self.terms:
            terms["topo"] = self._topological(student, teacher, prepared)
        if teacher is not None and "grad" in self.terms:
            terms["grad"] = self._saliency(student, terms["seg"], teacher, label)
        if teacher is not None and "kd" in self.terms:
            terms["kd"] = self.logit(student.logits, teacher.logits)
        total = terms["seg"]
        for name in self.terms:
            total = total + self.weights[name] * terms[name]
        return Losses(total, terms)

    def _topological(self, student: NetworkOutput, teacher: NetworkOutput, prepared: TeacherDiagrams | None) -> Tensor:
        """Student's rows follow the teacher's here: the teacher's diagrams began when there were no others yet."""
        tap_s, tap_t = student.taps[self.topology_stage], teacher.taps[self.topology_stage]
        matched = tap_s.feat[match_rows(tap_t, tap_s).argsort()]
        return self.topological(matched.float(), prepared or tap_t.feat.detach().float(), tap_t.offsets)

    def _saliency(self, student: NetworkOutput, loss: Tensor, teacher: NetworkOutput, label: Tensor) -> Tensor:
        taps_s = [student.taps[stage] for stage in self.saliency_stages]
        taps_t = [teacher.taps[stage] for stage in self.saliency_stages]
        # Gradients of the sum over voxels, not of the mean: Eq. 6 is the same but for eps, below which the gradients
        # of a mean over a large batch would fall.
        voxels = (label != IGNORE).sum()
        loss_t = voxels * self.segmentation(teacher.logits, label)
        grads_t = feature_gradients(loss_t, [tap.feat for tap in taps_t], keep_graph=False)
        rows = [match_rows(t, s) for t, s in zip(taps_t, taps_s, strict=True)]
        return self.saliency(
            [tap.feat for tap in taps_s],
            [tap.feat.detach()[index] for tap, index in zip(taps_t, rows, strict=True)],
            [tap.offsets for tap in taps_s],
            student_loss=voxels * loss,
            teacher_grad=[gradient[index] for gradient, index in zip(grads_t, rows, strict=True)],
        )


def freeze(teacher: nn.Module) -> nn.Module:
    """The teacher in evaluation mode, its parameters closed to gradients.

    >>> any(p.requires_grad for p in freeze(torch.nn.Linear(2, 2)).parameters())
    False
    """
    return teacher.eval().requires_grad_(False)


def run_teacher(teacher: nn.Module, batch: Any, *, gradients: bool) -> NetworkOutput:
    """The frozen teacher's logits and taps.

    With ``gradients`` the input features open the graph, so that activations have gradients while no parameter does;
    without, nothing is recorded.
    """
    if not gradients:
        with torch.no_grad():
            return NetworkOutput(*teacher(batch, taps=True))
    inputs = {name: getattr(batch, name) for name in ("coord", "grid_coord", "feat")}
    inputs |= {"feat": batch.feat.detach().requires_grad_(True), "offset": batch.offsets}
    with torch.enable_grad():
        return NetworkOutput(*teacher(inputs, taps=True))
