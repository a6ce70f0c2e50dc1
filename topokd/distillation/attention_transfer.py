"""The term ``at``: where each network's activations are large (Zagoruyko and Komodakis, ICLR 2017)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from topokd.checks import STUDENT_ADVICE, TEACHER_ADVICE, require_finite
from topokd.clouds import Clouds, Features, Offsets, as_rows, at_least_float32
from topokd.distillation.features import matched_features, of_usual_size
from topokd.distillation.matching import StageRows, match_rows
from topokd.distillation.saliency_map import map_rows
from topokd.distillation.segmentation import SegmentationLoss
from topokd.distillation.term import TERMS, NetworkOutput, Step, Term, TermOptions
from topokd.schema import Natural


class AttentionTransferLoss(nn.Module):
    """L = 1/B sum over clouds || Q_T / |Q_T|_2 - Q_S / |Q_S|_2 ||_2^2, Q_i = sum_k F_ik^2 for each row i (Eq. 2).

    The paper writes the distance, its code the square, which has a gradient at 0; the code's mean over positions is a
    sum here, so that the weight does not depend on the size of a cloud. Widths may differ.

    Examples:
        >>> round(AttentionTransferLoss()(torch.eye(2), torch.tensor([[1.0], [0.0]])).item(), 4)  # 2 - sqrt 2
        0.5858
    """

    def forward(
        self,
        student: Features,
        teacher: Features | None,
        offsets: Offsets = None,
        *,
        teacher_map: Features | None = None,
    ) -> Float[Tensor, ""]:
        """The mean over clouds.

        Args:
            student: (n, c_s) features, or another layout of `topokd.clouds.as_rows`.
            teacher: (n, c_t) features of the same points; None with ``teacher_map``.
            offsets: where clouds end, if the layout does not say so.
            teacher_map: (n,) finished Q of the teacher, in place of its features; or a list of one per cloud.

        Raises:
            ValueError: without features and map of the teacher.
            DataError: when layouts do not match, or features or the map are not finite, or it lacks values.
        """
        if teacher_map is not None:
            own, ends = as_rows(student, offsets, "student's features")
            require_finite(own, "the student's features", STUDENT_ADVICE)
            own, teacher_map = at_least_float32(own), map_rows(teacher_map, len(own))
        elif teacher is not None:
            own, other, ends = matched_features(student, teacher, offsets)
            teacher_map = of_usual_size(other).square().sum(dim=1)
        else:
            raise ValueError("AttentionTransferLoss needs the teacher's features or its map (teacher_map)")
        own = of_usual_size(own)
        maps = Clouds(own.square().sum(dim=1), ends).split(), Clouds(teacher_map, ends).split()
        losses = [
            (normalize(of_usual_size(theirs, 1e-8, 1e15), dim=0) - normalize(of_usual_size(mine, 1e-8, 1e15), dim=0))
            .square()
            .sum()
            for mine, theirs in zip(*maps, strict=True)
        ]
        return torch.stack(losses).mean() if losses else own.sum()


class AttentionTransferOptions(TermOptions):
    """Attention maps, sums of squared activations (AT: Zagoruyko and Komodakis, 2017)."""

    stages: tuple[Natural, ...] = Field(
        (0, 1, 2, 3, 4), min_length=1, description="encoder stages compared; their losses are added"
    )


class AttentionTransferTerm(Term):
    """`AttentionTransferLoss`, added over encoder stages."""

    Options = AttentionTransferOptions

    def __init__(self, **given: object) -> None:
        super().__init__(**given)
        self.loss = AttentionTransferLoss()

    @property
    def digest_key(self) -> str:
        """Maps depend on the stages."""
        return f"attention maps {list(self.options.stages)}"

    def digest(
        self, teacher: NetworkOutput, label: Int64[Tensor, " n"], segmentation: SegmentationLoss
    ) -> dict[str, Tensor]:
        """The teacher's maps, and the voxels of their rows.

        Args:
            teacher: output of the teacher.
            label: (n,) class of each voxel.
            segmentation: the loss of the labels.
        """
        parts: dict[str, Tensor] = {}
        for stage in self.options.stages:
            tap = teacher.taps[stage]
            require_finite(tap.feat, "the teacher's features", TEACHER_ADVICE)
            energy = of_usual_size(at_least_float32(tap.feat.detach())).square().sum(dim=1)
            parts |= {f"map{stage}": energy, f"grid{stage}": tap.grid_coord, f"offsets{stage}": tap.offsets}
        return parts

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The sum over stages, the teacher's rows in the student's order."""
        given = step.digest or self.digest(step.teacher_output, step.label, step.segmentation)
        losses = []
        for stage in self.options.stages:
            own = step.student.taps[stage]
            order = match_rows(StageRows(given[f"grid{stage}"], given[f"offsets{stage}"]), own)
            losses.append(self.loss(own.feat, None, own.offsets, teacher_map=given[f"map{stage}"][order]))
        return torch.stack(losses).sum()


TERMS["at"] = AttentionTransferTerm
