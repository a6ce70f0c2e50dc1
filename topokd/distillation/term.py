"""The protocol of a loss term, and the dictionary of all terms by name.

A new term is one file of this package: a class derived from `Term` with its parameters in ``Options``, and
``TERMS["name"] = ThatClass``. The package imports all its modules, so nothing else has to be edited; the term is used
by naming it in ``terms`` and in a row's ``terms`` in params.yaml.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn

from topokd import schema
from topokd.clouds import Offsets, are_other_images
from topokd.distillation.matching import VoxelRows
from topokd.distillation.segmentation import SegmentationLoss
from topokd.errors import DataError, ParameterError
from topokd.schema import Section, TermWeight


@dataclass(frozen=True)
class NetworkOutput:
    """Output of a network's forward pass.

    Attributes:
        logits: (n, c), one row per voxel.
        taps: features of each encoder stage, finest first.
        offsets: where the clouds or images of the logits end, with their shape where it is known
            (`topokd.clouds.Ends`); None: not stated.
        keep_graph: whether somebody else needs the graph as well; otherwise the first that differentiates it frees it.

    Examples:
        >>> import torch
        >>> NetworkOutput(torch.zeros(2, 3), ()).logits.shape
        torch.Size([2, 3])
    """

    logits: Float[Tensor, "n c"]
    taps: Sequence[VoxelRows]
    offsets: Offsets = None
    keep_graph: bool = False


Weigh = Callable[[Tensor, "int | Tensor"], Tensor]


def unweighed(mean: Float[Tensor, ""], rows: int | Tensor) -> Float[Tensor, ""]:
    """``mean`` over ``rows`` rows, unchanged: in a single process it is the mean over all rows."""
    return mean


@dataclass(frozen=True)
class Step:
    """Inputs of a term in one training step.

    Args:
        student: output in the graph of the student's parameters.
        teacher: output for the same batch; its rows may be in another order (`match_rows`). The student's own output
            for a term that does not need a teacher, in a run without one.
        label: (n,) class of each voxel, -1 for none.
        seg: the student's segmentation loss.
        segmentation: the function that gave ``seg``, for a term that needs it of the teacher.
        prepared: the result of `Term.prepare` of this term, or None if it was not called.
        digest: the result of `Term.digest` of this term, or None if it was not called. Replaces ``teacher``.
        weigh: called as ``weigh(mean, rows)`` on a mean over rows other than clouds: where several processes share a
            batch, it weighs the mean by this one's share of the rows (`topokd.training.distributed`).

    Examples:
        >>> import torch
        >>> output, label = NetworkOutput(torch.zeros(2, 3), ()), torch.tensor([0, 2])
        >>> segmentation = SegmentationLoss()
        >>> step = Step(output, None, label, segmentation(output.logits, label), segmentation)
        >>> round(step.seg.item(), 4)
        1.0986
    """

    student: NetworkOutput
    teacher: NetworkOutput | None
    label: Int64[Tensor, " n"]
    seg: Float[Tensor, ""]
    segmentation: SegmentationLoss
    prepared: Any = None
    digest: Mapping[str, Tensor] | None = None
    weigh: Weigh = unweighed

    @property
    def teacher_output(self) -> NetworkOutput:
        """The teacher's output.

        Raises:
            ValueError: the step has none.
        """
        if self.teacher is None:
            raise ValueError("this step has no output of the teacher: pass one, or the digests of all terms")
        return self.teacher


class TermOptions(Section):
    """Parameters that every term has.

    Examples:
        >>> from topokd.schema import Positive
        >>> class Options(TermOptions):
        ...     power: Positive = Field(2.0, description="exponent of the distance")
        >>> Options(weight=0.3).power
        2.0
    """

    weight: TermWeight = Field(1.0, description="lambda in Eq. 8; to switch a term off, leave it out")


class Term(nn.Module, ABC):
    """One weighted loss of Eq. 8 or beyond it.

    Args:
        given: parameters, the fields of ``Options``.

    Raises:
        ParameterError: when a parameter is unknown or its value is not allowed.

    Examples:
        >>> import torch
        >>> class LogitNorm(Term):
        ...     def forward(self, step):
        ...         return (step.student.logits.norm() - step.teacher.logits.norm()).abs()
        >>> output = NetworkOutput(torch.ones(2, 2), ())
        >>> step = Step(output, output, torch.zeros(2, dtype=torch.int64), torch.tensor(0.0), SegmentationLoss())
        >>> LogitNorm(weight=0.5)(step)
        tensor(0.)
    """

    Options: ClassVar[type[TermOptions]] = TermOptions
    needs_teacher: bool = True  # the loss looks at the teacher's output
    needs_teacher_gradients: bool = False  # the teacher's activations must be in a graph
    differentiates_twice: bool = False  # the loss contains a gradient that is itself differentiated

    def __init__(self, **given: Any) -> None:
        super().__init__()
        self.options: Any = schema.validate(self.Options, given)

    @property
    def weight(self) -> float:
        """lambda in Eq. 8."""
        return self.options.weight

    def require_stages(self, output: NetworkOutput, who: str) -> None:
        """Check that a network has the taps that the options ``stage`` and ``stages`` name.

        Args:
            output: output of a network.
            who: ``student`` or ``teacher``, for the message.

        Raises:
            ParameterError: it lacks one.
        """
        for option, stages in self._compared_stages().items():
            last = max(stages)
            if last >= len(output.taps):
                known = ", ".join(map(str, range(len(output.taps)))) or "none"
                raise ParameterError(
                    f"the {who} has no stage {last}; its stages are {known}: set `{option}` of the term, or tap more "
                    "modules"
                )

    def require_same_images(self, student: NetworkOutput, teacher: NetworkOutput) -> None:
        """Check that the feature maps of the stages `require_stages` checks have the same height and width.

        Args:
            student: output of the student; taps without ``shape``, as those of voxels, are not checked.
            teacher: output of the teacher.

        Raises:
            DataError: a stage has equally many pixels in images of another shape.
        """
        for stages in self._compared_stages().values():
            for stage in stages:
                own, other = (getattr(output.taps[stage], "shape", ()) for output in (student, teacher))
                if are_other_images(own, other):
                    raise DataError(
                        f"stage {stage} is {own[1:]} pixels in the student and {other[1:]} in the teacher: tap modules "
                        "of the same height and width"
                    )

    def _compared_stages(self) -> dict[str, tuple[int, ...]]:
        """The options that name stages, with these."""
        values = {name: getattr(self.options, name, None) for name in ("stage", "stages")}
        return {
            name: value if isinstance(value, tuple) else (value,) for name, value in values.items() if value is not None
        }

    def prepare(self, teacher: NetworkOutput) -> Any:
        """Start what depends on the teacher alone, on other threads if useful; called before the student runs.

        Args:
            teacher: the teacher's output for the batch.

        Returns:
            Anything; `forward` gets it as ``step.prepared``.
        """
        return None

    @property
    def digest_key(self) -> str | None:
        """Names what `digest` returns: equal for terms whose digests are equal; None for a term that has no digest."""
        return None

    def digest(
        self, teacher: NetworkOutput, label: Int64[Tensor, " n"], segmentation: SegmentationLoss
    ) -> dict[str, Tensor]:
        """All that this term needs of the teacher for one batch, without a graph: small enough to be kept in a file.

        Rows of the ablation see the same batches, so one pass of the teacher serves all of them
        (`topokd.training.TeacherOutputs`). A term without a digest works as well: the teacher then runs in every row.

        Args:
            teacher: the teacher's output for the batch.
            label: (n,) class of each voxel, -1 for none.
            segmentation: as in `Step`.

        Returns:
            Tensors by name; `forward` gets them as ``step.digest`` and must then not look at ``step.teacher``.

        Raises:
            TypeError: the term has none.
        """
        raise TypeError(f"{type(self).__name__} has no digest: its digest_key must be None")

    @abstractmethod
    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The loss of one batch, before its weight."""


TERMS: dict[str, type[Term]] = {}


def find_term(name: str) -> type[Term]:
    """The class of a term.

    Raises:
        ParameterError: there is no such term; names the nearest, or lists those that there are.
    """
    if name not in TERMS:
        raise ParameterError(f"loss term {name!r} does not exist; {schema.nearest(name, TERMS)}")
    return TERMS[name]


def term_parameters(name: str, given: Mapping[str, Any], *, where: str = "") -> TermOptions:
    """Validated and complete parameters of one term.

    Args:
        name: key of ``TERMS``.
        given: parameters that differ from the term's defaults.
        where: dotted name of ``given``, for error messages.

    Returns:
        All options of the term.

    Raises:
        ParameterError: naming the parameter, its value, and the rule or the nearest known name.

    Examples:
        >>> import topokd.distillation
        >>> term_parameters("kd", {"temperature": 4.0}).temperature
        4.0
    """
    return schema.validate(find_term(name).Options, given, where=where or f"terms.{name}")
