"""L_kd: the teacher's class probabilities, softened by a temperature (Sec. 3.4)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class LogitLoss(nn.Module):
    """L_kd = T^2 / n * sum_i KL( softmax(z^T_i / T) || softmax(z^S_i / T) ), the mean over all n voxels.

    T^2 keeps the size of the gradient independent of the temperature (NOTES row 5). Every voxel counts, also one
    without a ground-truth label: the teacher has an opinion there. The teacher receives no gradient.

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
        """The divergence of the student's logits from the teacher's; rows matched."""
        if student.shape != teacher.shape:
            raise ValueError(
                f"student logits {tuple(student.shape)} and teacher logits {tuple(teacher.shape)} differ in shape: "
                "both networks need the same batch and the same classes"
            )
        soft_student = functional.log_softmax(student.float() / self.temperature, dim=1)
        soft_teacher = functional.log_softmax(teacher.detach().float() / self.temperature, dim=1)
        divergence = functional.kl_div(soft_student, soft_teacher, reduction="batchmean", log_target=True)
        return self.temperature**2 * divergence
