"""L_grad: where a network looks, told by the gradient of its segmentation loss (Sec. 3.3, Eq. 4-7)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

Features = Tensor | Sequence[Tensor]


def saliency_map(
    feat: Float[Tensor, "n c"],
    grad: Float[Tensor, "n c"],
    offsets: Int64[Tensor, " b"],
    eps: float = 1e-6,
) -> Float[Tensor, " n"]:
    """Eq. 4-6, each cloud by itself: N rows of one cloud, ``grad`` = dL_seg/dF.

    omega_k = 1/N sum_i |grad_ik|;  M_i = sum_k |omega_k F_ik|;  M^ = (M - min M) / (max M - min M + eps), in 0..1.

    The result is differentiable with respect to ``feat``, and to ``grad`` if that carries a graph. ``offsets`` are
    cumulative rows per cloud; a cloud's map does not depend on the other clouds.

    >>> feat = torch.tensor([[1.0, 0.0], [0.0, -3.0], [1.0, 1.0]])
    >>> grad = torch.tensor([[0.0, 2.0], [4.0, 2.0], [2.0, 2.0]])  # omega = (2, 2), M = (2, 6, 4)
    >>> saliency_map(feat, grad, torch.tensor([3]), eps=0.0)
    tensor([0.0000, 1.0000, 0.5000])
    """
    counts = torch.diff(offsets, prepend=offsets.new_zeros(1)).tolist()
    maps = []
    for rows, gradient in zip(feat.split(counts), grad.split(counts), strict=True):
        if len(rows) == 0:
            continue
        omega = gradient.abs().mean(0)  # (c,), Eq. 4
        response = (omega * rows).abs().sum(1)  # (n_cloud,), Eq. 5
        low, high = response.min(), response.max()
        maps.append((response - low) / (high - low + eps))  # Eq. 6
    return torch.cat(maps) if maps else feat.sum(1)


class SaliencyLoss(nn.Module):
    """L_grad = sum_l 1/N_l sum_i |M^_T,i - M^_S,i|  (Eq. 7), over the stages l with N_l rows each (NOTES row 3).

    Call it with the features of both networks, rows matched (see :func:`topokd.distillation.match_rows`), and with
    either each network's segmentation loss, from which it takes the gradients, or those gradients. Widths may differ.
    The student's channel weights omega are constants of the backward pass unless ``second_order``; the teacher never
    receives a gradient. ``stages`` picks from the given lists; None takes all. ``eps`` is absolute, so with very many
    points give the loss as a sum over them: the gradient of a mean shrinks with their number, until eps hides it.

    >>> import torch
    >>> x, head = torch.rand(6, 8), torch.nn.Linear(8, 3)
    >>> student = torch.nn.Linear(8, 8)(x)  # a stage's features, in the graph of the loss
    >>> loss_student = torch.nn.functional.cross_entropy(head(student), torch.arange(6) % 3)
    >>> teacher, teacher_grad = torch.rand(6, 32), torch.rand(6, 32)
    >>> offsets = torch.tensor([4, 6])  # two clouds
    >>> loss = SaliencyLoss()(student, teacher, offsets, student_loss=loss_student, teacher_grad=teacher_grad)
    >>> (loss_student + 10 * loss).backward()
    """

    def __init__(self, stages: Sequence[int] | None = None, eps: float = 1e-6, second_order: bool = False) -> None:
        super().__init__()
        self.stages, self.eps, self.second_order = stages, eps, second_order

    def forward(
        self,
        student: Features,
        teacher: Features,
        offsets: Features,
        *,
        student_loss: Tensor | None = None,
        teacher_loss: Tensor | None = None,
        student_grad: Features | None = None,
        teacher_grad: Features | None = None,
    ) -> Float[Tensor, ""]:
        """L_grad of one batch.

        student, teacher: (n, c_s) and (n, c_t), or a list with one such pair per stage; offsets: (b,), or a list too.
        For each network give its loss or its gradients. Graphs are kept, so the caller's ``backward`` still works.
        """
        student_list, teacher_list, offsets_list = (self._pick(x) for x in (student, teacher, offsets))
        student_grads = self._gradients("student", student_list, student_loss, student_grad, self.second_order)
        teacher_grads = self._gradients("teacher", teacher_list, teacher_loss, teacher_grad, False)
        total = student_list[0].new_zeros((), dtype=torch.float32)
        for feat_s, grad_s, feat_t, grad_t, rows in zip(
            student_list, student_grads, teacher_list, teacher_grads, offsets_list, strict=True
        ):
            map_s = saliency_map(feat_s.float(), grad_s.float(), rows, self.eps)
            with torch.no_grad():
                map_t = saliency_map(feat_t.float(), grad_t.float(), rows, self.eps)
            total = total + (map_t - map_s).abs().mean()
        return total

    def _pick(self, values: Features) -> list[Tensor]:
        if isinstance(values, Tensor):
            return [values]
        return list(values) if self.stages is None else [values[stage] for stage in self.stages]

    def _gradients(
        self, who: str, feats: list[Tensor], loss: Tensor | None, grads: Features | None, create_graph: bool
    ) -> list[Tensor]:
        if (loss is None) == (grads is None):
            raise ValueError(f"SaliencyLoss needs either {who}_loss or {who}_grad, not both and not neither")
        given = self._pick(grads) if grads is not None else feature_gradients(loss, feats, create_graph=create_graph)
        return given if create_graph else [gradient.detach() for gradient in given]


def feature_gradients(
    loss: Tensor | None, feats: Sequence[Tensor], *, create_graph: bool = False, keep_graph: bool = True
) -> list[Tensor]:
    """dL/dF for each of ``feats``, in float32, by one backward pass that touches no parameter's ``.grad``.

    >>> feat = torch.ones(2, 2, requires_grad=True)
    >>> feature_gradients((feat**2).sum(), [feat])[0].tolist()
    [[2.0, 2.0], [2.0, 2.0]]
    """
    if loss is None or not loss.requires_grad:
        raise ValueError("the loss has no graph: run the network with gradients enabled on its input features")
    gradients = torch.autograd.grad(
        loss, list(feats), retain_graph=keep_graph or create_graph, create_graph=create_graph
    )
    return [gradient.float() for gradient in gradients]
