"""L_grad, the term ``grad``: saliency maps from gradients of the segmentation loss (Sec. 3.3, Eq. 4-7)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn

from topokd.checks import require_finite
from topokd.data import IGNORE
from topokd.distillation.dtype import at_least_float32
from topokd.distillation.matching import Rows, match_rows
from topokd.distillation.segmentation import SegmentationLoss
from topokd.distillation.term import TERMS, NetworkOutput, Step, Term, TermOptions
from topokd.schema import Natural, Positive, Switch

Features = Tensor | Sequence[Tensor]


def saliency_map(
    feat: Float[Tensor, "n c"],
    grad: Float[Tensor, "n c"],
    offsets: Int64[Tensor, " b"],
    eps: float = 1e-6,
) -> Float[Tensor, " n"]:
    """Gradient-weighted activation map M^ of each cloud (Eq. 4-6).

    omega_k = 1/N sum_i |grad_ik|;  M_i = sum_k |omega_k F_ik|;  M^ = (M - min M) / (max M - min M + eps), in 0..1,
    for the N rows of one cloud. Differentiable in ``feat``, and in ``grad`` if that has a graph.

    Args:
        feat: (n, c) features F of all clouds.
        grad: (n, c) gradient of the segmentation loss in F.
        offsets: (b,) cumulative rows per cloud; a cloud's map does not depend on the other clouds.
        eps: Stabiliser of Eq. 6, absolute.

    Returns:
        (n,) map.

    Examples:
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

    Call it with the features of both networks, rows matched (see `topokd.distillation.match_rows`), and for each
    network either its segmentation loss, from which the gradients are computed, or the gradients. Widths may differ.
    The teacher never receives a gradient.

    Args:
        stages: Indices into the given lists; None takes all.
        eps: Stabiliser of Eq. 6. It is absolute: with very many points pass the loss as a sum over them, because the
            gradient of a mean shrinks with their number and becomes small against eps.
        second_order: Differentiate through the student's channel weights omega; without, they are constants of the
            backward pass.

    Examples:
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
        teacher: Features | None,
        offsets: Features,
        *,
        student_loss: Tensor | None = None,
        teacher_loss: Tensor | None = None,
        student_grad: Features | None = None,
        teacher_grad: Features | None = None,
        teacher_map: Features | None = None,
    ) -> Float[Tensor, ""]:
        """L_grad of one batch. Graphs are kept, so the caller's ``backward`` still works.

        Args:
            student: (n, c_s) features, or a list with one entry per stage.
            teacher: (n, c_t) features, or a list; None with ``teacher_map``.
            offsets: (b,) cumulative rows per cloud, or a list.
            student_loss: Scalar segmentation loss of the student; or give ``student_grad``.
            teacher_loss: The same for the teacher; or give ``teacher_grad``.
            student_grad: Gradients, shaped as ``student``.
            teacher_grad: Gradients, shaped as ``teacher``.
            teacher_map: (n,) finished maps of the teacher, or a list, in place of its features and gradients.

        Raises:
            ValueError: When a network has both or neither of loss and gradients, or its loss has no graph.
            DataError: When features or gradients are not finite.
        """
        student_list, offsets_list = self._pick(student), self._pick(offsets)
        student_grads = self._gradients("student", student_list, student_loss, student_grad, self.second_order)
        if teacher_map is not None:
            teacher_maps = self._pick(teacher_map)
        elif teacher is not None:
            teacher_maps = self._teacher_maps(self._pick(teacher), offsets_list, teacher_loss, teacher_grad)
        else:
            raise ValueError("SaliencyLoss needs the teacher's features or its maps (teacher_map)")
        total = at_least_float32(student_list[0].new_zeros(()))
        for feat, grad, map_t, rows in zip(student_list, student_grads, teacher_maps, offsets_list, strict=True):
            _require_finite("student", feat, grad)
            map_s = saliency_map(at_least_float32(feat), at_least_float32(grad), rows, self.eps)
            total = total + (map_t - map_s).abs().mean()
        return total

    @torch.no_grad()
    def _teacher_maps(
        self, feats: list[Tensor], offsets: list[Tensor], loss: Tensor | None, grads: Features | None
    ) -> list[Tensor]:
        maps = []
        for feat, grad, rows in zip(feats, self._gradients("teacher", feats, loss, grads, False), offsets, strict=True):
            _require_finite("teacher", feat, grad)
            maps.append(saliency_map(at_least_float32(feat), at_least_float32(grad), rows, self.eps))
        return maps

    def _pick(self, values: Features) -> list[Tensor]:
        if isinstance(values, Tensor):
            return [values]
        return list(values) if self.stages is None else [values[stage] for stage in self.stages]

    def _gradients(
        self, who: str, feats: list[Tensor], loss: Tensor | None, grads: Features | None, create_graph: bool
    ) -> list[Tensor]:
        if (loss is None) == (grads is None):
            raise ValueError(f"SaliencyLoss needs exactly one of {who}_loss and {who}_grad")
        given = self._pick(grads) if grads is not None else feature_gradients(loss, feats, create_graph=create_graph)
        return given if create_graph else [gradient.detach() for gradient in given]


def _require_finite(who: str, feat: Tensor, grad: Tensor) -> None:
    require_finite(feat, f"the {who}'s features", "lower the learning rate")
    require_finite(grad, f"the gradient in the {who}'s features", "lower the learning rate")


def feature_gradients(
    loss: Tensor | None, feats: Sequence[Tensor], *, create_graph: bool = False, keep_graph: bool = True
) -> list[Tensor]:
    """dL/dF for each of ``feats``, in float32 at least; every parameter's ``.grad`` stays unchanged.

    Args:
        loss: Scalar in the graph of ``feats``.
        feats: Features F.
        create_graph: The gradients can be differentiated.
        keep_graph: The graph of ``loss`` can be used again.

    Raises:
        ValueError: When the loss has no graph.

    Examples:
        >>> feat = torch.ones(2, 2, requires_grad=True)
        >>> feature_gradients((feat**2).sum(), [feat])[0].tolist()
        [[2.0, 2.0], [2.0, 2.0]]
    """
    if loss is None or not loss.requires_grad:
        raise ValueError("the loss has no graph: run the network with gradients enabled on its input features")
    gradients = torch.autograd.grad(
        loss, list(feats), retain_graph=keep_graph or create_graph, create_graph=create_graph
    )
    return [at_least_float32(gradient) for gradient in gradients]


class SaliencyOptions(TermOptions):
    """Saliency term: gradient-weighted activation maps of encoder stages (Sec. 3.3, Eq. 4-7)."""

    weight: Positive = Field(10.0, description="lambda_grad in Eq. 8")
    stages: tuple[Natural, ...] = Field(
        (0, 1, 2, 3, 4), min_length=1, description="encoder stages compared (NOTES row 6)"
    )
    eps: Positive = Field(1e-6, description="stabiliser of Eq. 6")
    second_order: Switch = Field(
        False, description="differentiate through the channel weights omega as well (NOTES row 3)"
    )


class SaliencyTerm(Term):
    """L_grad = sum_l 1/N_l sum_i |M^_T,i - M^_S,i|  (Eq. 7) over encoder stages; see `SaliencyLoss`.

    Gradients are those of the segmentation loss summed over voxels, not of its mean: Eq. 6 is the same but for eps,
    below which the gradients of a mean over a large batch would fall.
    """

    Options = SaliencyOptions
    needs_teacher_gradients = True

    def __init__(self, **given: object) -> None:
        super().__init__(**given)
        self.loss = SaliencyLoss(eps=self.options.eps, second_order=self.options.second_order)
        self.differentiates_twice = self.options.second_order

    @property
    def digest_key(self) -> str:
        """Maps depend on the stages and on the stabiliser of Eq. 6."""
        return f"saliency {list(self.options.stages)} {self.options.eps!r}"

    def digest(
        self, teacher: NetworkOutput, label: Int64[Tensor, " n"], segmentation: SegmentationLoss
    ) -> dict[str, Tensor]:
        """The teacher's maps, in the order of its rows, and the voxels of these rows."""
        taps = [teacher.taps[stage] for stage in self.options.stages]
        require_finite(teacher.logits, "the teacher's logits", "check its checkpoint")
        loss = (label != IGNORE).sum() * segmentation(teacher.logits, label)
        gradients = feature_gradients(loss, [tap.feat for tap in taps], keep_graph=False)
        parts: dict[str, Tensor] = {}
        for stage, tap, gradient in zip(self.options.stages, taps, gradients, strict=True):
            _require_finite("teacher", tap.feat, gradient)
            feat = at_least_float32(tap.feat.detach())
            parts |= {
                f"map{stage}": saliency_map(feat, gradient, tap.offsets, self.options.eps),
                f"grid{stage}": tap.grid_coord,
                f"offsets{stage}": tap.offsets,
            }
        return parts

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """L_grad of both networks' taps, the teacher's maps in the student's order."""
        teacher = step.digest or self.digest(step.teacher_output, step.label, step.segmentation)
        taps = [step.student.taps[stage] for stage in self.options.stages]
        rows = [Rows(teacher[f"grid{stage}"], teacher[f"offsets{stage}"]) for stage in self.options.stages]
        maps = [teacher[f"map{stage}"] for stage in self.options.stages]
        voxels = (step.label != IGNORE).sum()
        return self.loss(
            [tap.feat for tap in taps],
            None,
            [tap.offsets for tap in taps],
            student_loss=voxels * step.seg,
            teacher_map=[m[match_rows(r, tap)] for m, r, tap in zip(maps, rows, taps, strict=True)],
        )


TERMS["grad"] = SaliencyTerm
