"""L_kd, the term ``kd``: the teacher's class probabilities, softened by a temperature (Sec. 3.4)."""

from __future__ import annotations

from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from topokd.checks import require_finite
from topokd.distillation.dtype import at_least_float32
from topokd.distillation.segmentation import SegmentationLoss
from topokd.distillation.term import TERMS, NetworkOutput, Step, Term, TermOptions
from topokd.schema import Positive


class LogitLoss(nn.Module):
    """L_kd = T^2 / n * sum_i KL( softmax(z^T_i / T) || softmax(z^S_i / T) ), the mean over all n voxels.

    T^2 keeps the size of the gradient independent of the temperature (NOTES row 5). Every voxel counts, including those
    without a ground-truth label: the teacher has a prediction there. The teacher receives no gradient.

    Args:
        temperature: T, above 0.

    Examples:
        >>> import torch
        >>> student = torch.zeros(5, 3, requires_grad=True)
        >>> loss = LogitLoss(temperature=2.0)(student, torch.tensor([[2.0, 0.0, 0.0]]).expand(5, 3))
        >>> round(loss.item(), 4)
        0.4931
    """

    def __init__(self, temperature: float = 2.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student: Float[Tensor, "n c"], teacher: Float[Tensor, "n c"]) -> Float[Tensor, ""]:
        """The divergence of the student's logits from the teacher's.

        Args:
            student: (n, c) logits.
            teacher: (n, c) logits of the same voxels in the same order.

        Raises:
            ValueError: When the shapes differ.
            DataError: When logits are not finite.
        """
        if student.shape != teacher.shape:
            raise ValueError(
                f"student logits {tuple(student.shape)} and teacher logits {tuple(teacher.shape)} differ in shape: "
                "both networks need the same batch and the same classes"
            )
        require_finite(student, "the student's logits", "lower the learning rate")
        require_finite(teacher, "the teacher's logits", "check its checkpoint")
        soft_student = functional.log_softmax(at_least_float32(student) / self.temperature, dim=1)
        soft_teacher = functional.log_softmax(at_least_float32(teacher.detach()) / self.temperature, dim=1)
        divergence = functional.kl_div(soft_student, soft_teacher, reduction="batchmean", log_target=True)
        return self.temperature**2 * divergence


class LogitOptions(TermOptions):
    """Distillation of class probabilities (Sec. 3.4)."""

    weight: Positive = Field(0.3, description="lambda_kd in Eq. 8")
    temperature: Positive = Field(2.0, description="T; the loss is scaled by T^2")


class LogitTerm(Term):
    """L_kd of `LogitLoss` on all voxels of the batch (Sec. 3.4)."""

    Options = LogitOptions

    def __init__(self, **given: object) -> None:
        super().__init__(**given)
        self.loss = LogitLoss(self.options.temperature)

    @property
    def digest_key(self) -> str:
        """The same for all terms that need the logits only."""
        return "logits"

    def digest(
        self, teacher: NetworkOutput, label: Int64[Tensor, " n"], segmentation: SegmentationLoss
    ) -> dict[str, Tensor]:
        """The teacher's logits."""
        return {"logits": teacher.logits.detach()}

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """L_kd of the two networks' logits."""
        teacher = step.teacher_output.logits if step.digest is None else step.digest["logits"]
        return self.loss(step.student.logits, teacher)


TERMS["kd"] = LogitTerm
