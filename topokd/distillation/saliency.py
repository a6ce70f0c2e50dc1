"""L_grad, the term ``grad``: the distance of two networks' saliency maps (Sec. 3.3, Eq. 7)."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, cast

from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn

from topokd.checks import STUDENT_ADVICE, TEACHER_ADVICE, require_finite
from topokd.clouds import Offsets, as_rows, at_least_float32, matched_rows
from topokd.data import IGNORE
from topokd.distillation.matching import StageRows, match_rows
from topokd.distillation.saliency_map import feature_gradients, map_rows, saliency_map
from topokd.distillation.segmentation import SegmentationLoss
from topokd.distillation.term import TERMS, NetworkOutput, Step, Term, TermOptions, Weigh, unweighed
from topokd.errors import DataError, ParameterError
from topokd.options import flag, number, whole
from topokd.schema import Natural, Positive, Switch, TermWeight

Stages = Tensor | Sequence[Tensor] | Sequence[Sequence[Tensor]]  # one stage, or a list of them
StageOffsets = Offsets | Sequence[Offsets]


class SaliencyLoss(nn.Module):
    """L_grad = sum_l 1/N_l sum_i |M^_T,i - M^_S,i|  (Eq. 7), over the stages l with N_l rows each (NOTES row 3).

    Call it with the features of both networks, rows matched (see `topokd.distillation.match_rows`), and for each
    network either its segmentation loss, from which the gradients are computed, or the gradients. Widths may differ.
    The teacher never receives a gradient.

    Args:
        stages: indices into the given lists; None takes all.
        eps: stabiliser of Eq. 6. It is absolute: with very many points pass the loss as a sum over them, because the
            gradient of a mean shrinks with their number and becomes small against eps.
        second_order: differentiate through the student's channel weights omega; without, they are constants of the
            backward pass.

    Raises:
        ParameterError: ``stages`` is empty or not whole numbers, ``eps`` is not a number, 0 or more, or
            ``second_order`` is neither True nor False.

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
        if stages is not None:
            if not isinstance(stages, Sequence) or isinstance(stages, str) or not stages:
                raise ParameterError(f"stages is {stages!r}: give the numbers of stages, or None for all")
            stages = tuple(whole(stage, "stages", least=-64, most=64) for stage in stages)
        self.stages, self.eps = stages, number(eps, "eps")
        self.second_order = flag(second_order, "second_order")

    def forward(
        self,
        student: Stages,
        teacher: Stages | None,
        offsets: StageOffsets = None,
        *,
        student_loss: Tensor | None = None,
        teacher_loss: Tensor | None = None,
        student_grad: Stages | None = None,
        teacher_grad: Stages | None = None,
        teacher_map: Stages | None = None,
        weigh: Weigh = unweighed,
    ) -> Float[Tensor, ""]:
        """L_grad of one batch. Graphs are kept, so the caller's ``backward`` still works.

        Args:
            student: (n, c_s) features; or (b, n, c_s), (b, c_s, h, w): see `topokd.clouds.as_rows`. A list has one
                entry per stage; a stage that is itself a list has one (n_k, c_s) per cloud. With ``student_loss`` they
                must be the tensors that the network used further on: give a feature map as it is, not reshaped to rows.
            teacher: (n, c_t) features, or other layouts, as ``student``; None with ``teacher_map``.
            offsets: (b,) cumulative rows per cloud, where the layout does not say so; a list with one entry per stage
                if ``student`` is one.
            student_loss: scalar segmentation loss of the student; or give ``student_grad``.
            teacher_loss: the same for the teacher; or give ``teacher_grad``.
            student_grad: gradients, in the layout of ``student``.
            teacher_grad: gradients, in the layout of ``teacher``.
            teacher_map: (n,) saliency map of the teacher, or one per stage, in place of its features and gradients; it
                gets no gradient.
            weigh: see `topokd.distillation.term.Step`.

        Raises:
            ValueError: when a network has both or neither of loss and gradients, or its loss has no graph, or does not
                depend on the features.
            DataError: when layouts, offsets, maps or numbers of stages do not match, or features, gradients or maps are
                not finite.
        """
        student_list = self._pick(student, "student")
        offsets_list = self._pick_offsets(student, offsets, len(student_list))
        student_grads = self._gradients("student", student_list, student_loss, student_grad, self.second_order)
        teacher_list = teacher_grads = [None] * len(student_list)
        teacher_maps: list[Any] = teacher_list
        if teacher_map is not None:
            teacher_maps = self._pick(teacher_map, "teacher_map")
        elif teacher is not None:
            teacher_list = self._pick(teacher, "teacher")
            teacher_grads = self._gradients("teacher", teacher_list, teacher_loss, teacher_grad, False)
        else:
            raise ValueError("SaliencyLoss needs the teacher's features or its maps (teacher_map)")
        _require_stages(
            len(student_list),
            offsets=offsets_list,
            student_grad=student_grads,
            teacher=teacher_list,
            teacher_grad=teacher_grads,
            teacher_map=teacher_maps,
        )
        total = at_least_float32(_first_tensor(student_list).new_zeros(()))
        for own, own_grad, other, other_grad, map_t, given in zip(
            student_list, student_grads, teacher_list, teacher_grads, teacher_maps, offsets_list, strict=True
        ):
            if map_t is None:
                feat, rows_t, ends = matched_rows(own, other, given)
                map_t = self._map("teacher", rows_t, other_grad, ends).detach() if len(feat) else rows_t
            else:
                feat, ends = as_rows(own, given, "student's features")
                map_t = map_rows(map_t, len(feat))
            if not len(feat):
                total = total + feat.sum()
                continue
            distance = (map_t - self._map("student", feat, own_grad, ends)).abs().mean()
            total = total + weigh(distance, len(feat))
        return total

    def _map(self, who: str, feat: Tensor, gradient: Any, ends: list[int]) -> Float[Tensor, " n"]:
        """M^ of one stage of one network, from rows of features and a gradient in its own layout."""
        grad = as_rows(gradient, ends, f"{who}'s gradients").rows
        if feat.shape != grad.shape:
            raise DataError(f"the {who}'s gradients {tuple(grad.shape)} must have the shape {tuple(feat.shape)}")
        _require_finite(who, feat, grad)
        return saliency_map(at_least_float32(feat), at_least_float32(grad), ends, self.eps)

    def _pick(self, values: Any, name: str) -> list[Any]:
        if isinstance(values, Tensor):
            return [values]
        if not isinstance(values, Sequence) or isinstance(values, str):
            raise DataError(f"{name} must be a tensor, or a list with one entry per stage, not {values!r:.60}")
        if not values:
            raise DataError(f"{name} is an empty list: give one entry per stage")
        for stage in self.stages or ():
            if not -len(values) <= stage < len(values):
                raise DataError(
                    f"stages has {stage}, but {name} has {_stages(len(values))}, numbered from 0: choose among "
                    "these, or give one entry for each stage of the network"
                )
        return list(values) if self.stages is None else [values[stage] for stage in self.stages]

    def _pick_offsets(self, student: Stages, offsets: StageOffsets, stages: int) -> list[Any]:
        """One entry per stage."""
        if one := not isinstance(offsets, Sequence) or not any(map(_is_of_a_stage, offsets)):
            offsets = [_whole(end) for end in offsets] if isinstance(offsets, Sequence) else offsets
        if isinstance(student, Tensor):
            return [offsets] if one else list(cast(Sequence[Any], offsets))
        if one and offsets is None:
            if any(isinstance(stage, Tensor) and stage.dim() == 2 for stage in student):
                raise DataError(
                    "a list of (n, c) features has one entry per stage: give a list of offsets, one per stage, "
                    "or put the clouds of a stage into a list of their own"
                )
            return [None] * stages
        if one and stages > 1:
            raise DataError("offsets must be a list with one entry per stage, as the features are")
        return [offsets] if one else self._pick(offsets, "offsets")

    def _gradients(
        self, who: str, feats: list[Any], loss: Tensor | None, grads: Stages | None, create_graph: bool
    ) -> list[Any]:
        if (loss is None) == (grads is None):
            raise ValueError(f"SaliencyLoss needs exactly one of {who}_loss and {who}_grad")
        if grads is not None:
            given = self._pick(grads, f"{who}_grad")
            return given if create_graph else [_detached(gradient) for gradient in given]
        flat = [part for feat in feats for part in ([feat] if isinstance(feat, Tensor) else feat)]
        gradients = iter(feature_gradients(loss, flat, create_graph=create_graph))
        given = [next(gradients) if isinstance(feat, Tensor) else [next(gradients) for _ in feat] for feat in feats]
        return given if create_graph else [_detached(gradient) for gradient in given]


def _require_stages(stages: int, **given: list[Any]) -> None:
    """Check that every argument has one entry per stage of the student."""
    for name, entries in given.items():
        if len(entries) != stages:
            entries_given = "1 entry" if len(entries) == 1 else f"{len(entries)} entries"
            raise DataError(f"{name} has {entries_given}, but student has {_stages(stages)}: give one entry per stage")


def _stages(count: int) -> str:
    return "1 stage" if count == 1 else f"{count} stages"


def _is_of_a_stage(end: Any) -> bool:
    """Whether an entry of a list of offsets is not one number, but all offsets of a stage."""
    return end is None or getattr(end, "ndim", 0) > 0 or isinstance(end, Sequence)


def _whole(end: Any) -> Any:
    """A number of any type as an int; what is none stays, for the error of `cloud_ends`."""
    try:
        return end if isinstance(end, bool) else operator.index(end)
    except TypeError:
        return end


def _detached(gradient: Any) -> Any:
    """Without the graph, for one tensor or a list of clouds."""
    return gradient.detach() if isinstance(gradient, Tensor) else [part.detach() for part in gradient]


def _require_finite(who: str, feat: Tensor, grad: Tensor) -> None:
    advice = STUDENT_ADVICE if who == "student" else TEACHER_ADVICE
    require_finite(feat, f"the {who}'s features", advice)
    require_finite(grad, f"the gradient in the {who}'s features", advice)


def _first_tensor(stages: list[Any]) -> Tensor:
    return stages[0] if isinstance(stages[0], Tensor) else stages[0][0]


class SaliencyOptions(TermOptions):
    """Saliency term: gradient-weighted activation maps of encoder stages (Sec. 3.3, Eq. 4-7)."""

    weight: TermWeight = Field(10.0, description="lambda_grad in Eq. 8")
    stages: tuple[Natural, ...] = Field(
        (0, 1, 2, 3, 4), min_length=1, description="encoder stages compared (NOTES row 6)"
    )
    eps: Positive = Field(1e-6, description="stabiliser of Eq. 6")
    second_order: Switch = Field(
        False, description="differentiate through the channel weights omega as well (NOTES row 3)"
    )


class SaliencyTerm(Term):
    """L_grad = sum_l 1/N_l sum_i |M^_T,i - M^_S,i|  (Eq. 7) over encoder stages; see `SaliencyLoss`.

    Gradients are those of the segmentation loss summed over voxels: Eq. 6 cancels the factor except for eps, and the
    gradients of the mean over a large batch would be smaller than eps.
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
        """The teacher's maps, in the order of its rows, and the voxels of these rows.

        Args:
            teacher: output of the teacher.
            label: (n,) class of each voxel.
            segmentation: the loss of the labels.

        Raises:
            ParameterError: a term has used the graph of this output before.
            DataError: logits, features or gradients are not finite.
        """
        taps = [teacher.taps[stage] for stage in self.options.stages]
        require_finite(teacher.logits, "the teacher's logits", TEACHER_ADVICE)
        loss = (label != IGNORE).sum() * segmentation(teacher.logits, label)
        try:  # the graph is freed, if nobody needs it: it would take memory during the student's backward pass
            gradients = feature_gradients(loss, [tap.feat for tap in taps], keep_graph=teacher.keep_graph)
        except RuntimeError as error:
            if "second time" not in str(error):
                raise
            raise ParameterError(
                "the term grad has used this output of the teacher before and freed its graph: run the teacher again "
                "for each call, and for each choice of stages and eps; or compute digests = objective.digests(teacher, "
                "label) once and pass digests=digests"
            ) from None
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
        rows = [StageRows(teacher[f"grid{stage}"], teacher[f"offsets{stage}"]) for stage in self.options.stages]
        maps = [teacher[f"map{stage}"] for stage in self.options.stages]
        voxels = (step.label != IGNORE).sum()
        return self.loss(
            [tap.feat for tap in taps],
            None,
            [tap.offsets for tap in taps],
            student_loss=voxels * step.seg,
            teacher_map=[m[match_rows(r, tap)] for m, r, tap in zip(maps, rows, taps, strict=True)],
            weigh=step.weigh,
        )


TERMS["grad"] = SaliencyTerm
