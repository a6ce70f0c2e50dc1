"""L_kd, the term ``kd``: the teacher's class probabilities, softened by a temperature (Sec. 3.4)."""

from __future__ import annotations

from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from topokd.checks import require_finite_outputs
from topokd.clouds import Features, Offsets, at_least_float32, matched_rows
from topokd.distillation.segmentation import SegmentationLoss, require_classes
from topokd.distillation.term import TERMS, NetworkOutput, Step, Term, TermOptions
from topokd.options import number
from topokd.schema import TEMPERATURES, Temperature, TermWeight


class LogitLoss(nn.Module):
    """L_kd = T^2 / n * sum_i KL( softmax(z^T_i / T) || softmax(z^S_i / T) ), the mean over all n voxels.

    T^2 keeps the size of the gradient independent of the temperature (NOTES row 5). Every voxel counts, including those
    without a ground-truth label: the teacher has a prediction there. The teacher receives no gradient.

    Args:
        temperature: T, above 0.

    Raises:
        ParameterError: for a temperature that is not above 0.

    Examples:
        >>> import torch
        >>> student = torch.zeros(5, 3, requires_grad=True)
        >>> loss = LogitLoss(temperature=2.0)(student, torch.tensor([[2.0, 0.0, 0.0]]).expand(5, 3))
        >>> round(loss.item(), 4)
        0.4931
    """

    def __init__(self, temperature: float = 2.0) -> None:
        super().__init__()
        self.temperature = require_temperature(temperature)

    def forward(self, student: Features, teacher: Features, offsets: Offsets = None) -> Float[Tensor, ""]:
        """The divergence of the student's logits from the teacher's.

        Args:
            student: (n, c) logits; or (b, n, c), (b, c, h, w), a list of (n_k, c): see `topokd.clouds.as_rows`.
            teacher: logits of the same voxels, or pixels, in the same order.
            offsets: checked, and otherwise without effect: all voxels have equal weight.

        Raises:
            DataError: when the shapes differ, or logits are not finite or have fewer than two channels.
        """
        student, teacher, _ = matched_logits(student, teacher, offsets)
        if not len(student):
            return student.sum()
        soft_student = functional.log_softmax(at_least_float32(student) / self.temperature, dim=1)
        soft_teacher = functional.log_softmax(at_least_float32(teacher.detach()) / self.temperature, dim=1)
        divergence = functional.kl_div(soft_student, soft_teacher, reduction="batchmean", log_target=True)
        return self.temperature**2 * divergence


def require_temperature(temperature: float) -> float:
    """``temperature`` itself.

    Raises:
        ParameterError: it is not a number within `TEMPERATURES`.
    """
    least, most = TEMPERATURES
    return number(temperature, "temperature", least=least, most=most)


def matched_logits(
    student: Features, teacher: Features, offsets: Offsets = None
) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n c"], list[int]]:
    """Logits of both networks as rows, the teacher's detached, and the cumulative numbers of rows per cloud.

    Args:
        student: (n, c) logits, or a list of one tensor per cloud.
        teacher: the same of the teacher.
        offsets: (b,) cumulative numbers of rows.

    Raises:
        DataError: when the shapes differ, or logits are not finite or have fewer than two channels.
    """
    own, other, ends = matched_rows(student, teacher, offsets, "logits", same_width=True)
    require_classes(own.shape[1], student)
    require_finite_outputs(own, other, "logits")
    return own, other.detach(), ends


class LogitOptions(TermOptions):
    """Distillation of class probabilities (Sec. 3.4)."""

    weight: TermWeight = Field(0.3, description="lambda_kd in Eq. 8")
    temperature: Temperature = Field(2.0, description="T; the loss is scaled by T^2")


class LogitsTerm(Term):
    """Base class of the terms that need only the teacher's logits; they share one digest."""

    @property
    def digest_key(self) -> str:
        """The same for all terms that need the logits only."""
        return "logits"

    def digest(
        self, teacher: NetworkOutput, label: Int64[Tensor, " n"], segmentation: SegmentationLoss
    ) -> dict[str, Tensor]:
        """The teacher's logits.

        Args:
            teacher: output of the teacher.
            label: (n,) class of each voxel.
            segmentation: the loss of the labels.
        """
        return {"logits": teacher.logits.detach()}

    @staticmethod
    def teacher_logits(step: Step) -> Float[Tensor, "n c"]:
        """The teacher's logits of a step."""
        return step.teacher_output.logits if step.digest is None else step.digest["logits"]


class LogitTerm(LogitsTerm):
    """L_kd of `LogitLoss` on all voxels of the batch (Sec. 3.4)."""

    Options = LogitOptions

    def __init__(self, **given: object) -> None:
        super().__init__(**given)
        self.loss = LogitLoss(self.options.temperature)

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """L_kd of the two networks' logits."""
        loss = self.loss(step.student.logits, self.teacher_logits(step))
        return step.weigh(loss, len(step.student.logits))


TERMS["kd"] = LogitTerm
