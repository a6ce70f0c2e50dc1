"""L_total, Eq. 8: the weighted sum of the segmentation loss and the named terms."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from topokd import schema
from topokd.clouds import Features, are_other_images, as_labels, cloud_ends, shape_of
from topokd.data import IGNORE
from topokd.distillation.saliency_map import NoGraphError
from topokd.distillation.segmentation import SegmentationLoss
from topokd.distillation.term import (
    TERMS,
    NetworkOutput,
    Step,
    Term,
    Weigh,
    find_term,
    term_parameters,
    unweighed,
)
from topokd.errors import DataError, ParameterError
from topokd.params import Params


@dataclass(frozen=True)
class Losses:
    """Losses of one step.

    Attributes:
        total: L_total, for ``backward``.
        terms: L_k before their weights, by name, and L_seg as ``seg``.

    Examples:
        >>> import torch
        >>> losses = DistillationObjective()(NetworkOutput(torch.zeros(4, 2), ()), torch.tensor([0, 1, 1, -1]))
        >>> losses.total.item() == losses.terms["seg"].item()
        True
    """

    total: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]


class DistillationObjective(nn.Module):
    """L_total = L_seg + sum_k lambda_k L_k over the named terms k  (Eq. 8: topo, grad, kd).

    Only the inputs of the named terms are computed: without ``grad`` the teacher runs without a graph,
    without terms no teacher is needed. Terms are computed and added in the order given.

    Args:
        terms: names of terms (keys of ``TERMS``) to their parameters, or to `Term` objects.
        lovasz: weight of the Lovasz-Softmax term within L_seg.
        weights: ``lambda_<term>``, such as ``lambda_kd=0.3``: the term with this weight and its default parameters; 0
            leaves it out.

    Raises:
        ParameterError: when a term or one of its parameters is unknown, or a value is not allowed.

    Examples:
        >>> import torch
        >>> objective = DistillationObjective({"kd": {"weight": 0.3, "temperature": 2.0}})
        >>> student, teacher = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4)
        >>> losses = objective(NetworkOutput(student, ()), torch.arange(6) % 4, NetworkOutput(teacher, ()))
        >>> losses.total.backward()
        >>> sorted(losses.terms)
        ['kd', 'seg']
    """

    def __init__(
        self, terms: Mapping[str, Mapping[str, Any] | Term] | None = None, lovasz: float = 0.0, **weights: float
    ) -> None:
        super().__init__()
        if terms is not None and not isinstance(terms, Mapping):
            raise ParameterError(
                f'terms is {terms!r}: pass names of terms with their parameters, such as {{"kd": {{}}}}'
            )
        terms = {**(terms or {}), **_weighted(weights, terms or {})}
        self.segmentation = SegmentationLoss(lovasz)
        self.terms = nn.ModuleDict(
            {name: term if isinstance(term, Term) else _build(name, term) for name, term in terms.items()}
        )

    @property
    def needs_teacher(self) -> bool:
        """Whether any term needs the teacher's output."""
        return any(term.needs_teacher for term in self.named_terms().values())

    @property
    def needs_teacher_gradients(self) -> bool:
        """Whether the teacher must run with gradients of its activations."""
        return any(term.needs_teacher_gradients for term in self.named_terms().values())

    @property
    def differentiates_twice(self) -> bool:
        """Whether a term needs second derivatives of the student."""
        return any(term.differentiates_twice for term in self.named_terms().values())

    def prepare(self, teacher: NetworkOutput) -> dict[str, Any]:
        """Start the computations that depend on the teacher only, before the forward pass of the student.

        Returns:
            To be passed to `forward` as ``prepared``; the losses are the same without, bit for bit.

        Raises:
            DataError: when the teacher's features are not finite.
            ParameterError: when ``teacher`` is not the output of a network with features.
        """
        self._require_stages(teacher, "teacher")
        return {name: term.prepare(teacher) for name, term in self.named_terms().items()}

    def digest_keys(self) -> dict[str, str] | None:
        """`Term.digest_key` of every term that needs a teacher; None when one has none, and needs its whole output."""
        keys = {name: term.digest_key for name, term in self.named_terms().items() if term.needs_teacher}
        return None if None in keys.values() else {name: str(key) for name, key in keys.items()}

    def digests(
        self, teacher: NetworkOutput, label: Int64[Tensor, " n"], known: Container[str] = ()
    ) -> dict[str, dict[str, Tensor]]:
        """`Term.digest` by `Term.digest_key`, for all terms that have one.

        Args:
            teacher: output of the teacher for the batch (`run_teacher`).
            label: (n,) class of each voxel, -1 for none.
            known: keys that are not needed.
        """
        return teacher_digests([self], teacher, label, known)

    def forward(
        self,
        student: NetworkOutput,
        label: Features,
        teacher: NetworkOutput | None = None,
        prepared: Mapping[str, Any] | None = None,
        digests: Mapping[str, Mapping[str, Tensor]] | None = None,
        weigh: Weigh = unweighed,
    ) -> Losses:
        """The losses of one batch.

        Args:
            student: output of the student.
            label: (n,) class of each voxel, -1 for none; or (b, n), (b, h, w) for a `TappedNetwork`.
            teacher: output of the teacher for the same batch (`run_teacher`).
            prepared: what `prepare` returned for that output, if it was called.
            digests: what `digests` returned for that output, perhaps for another objective too; replaces ``teacher``.
            weigh: see `Step`.

        Raises:
            ValueError: without a teacher when a term needs one; when a term needs gradients of a network that ran
                without.
            ParameterError: when an output is none of a network with features, or a term compares a stage that a
                network does not have.
            DataError: when labels do not fit the logits, or images of both networks differ in height and width.
        """
        self._require_stages(student, "student")
        if teacher is not None:
            self._require_stages(teacher, "teacher")
            self._require_same_images(student, teacher)
        digests = digests or {}
        label = as_labels(label, cloud_ends(student.offsets, len(student.logits), "logits"))
        seg = self.segmentation(student.logits, label)
        losses = {"seg": weigh(seg, (label != IGNORE).sum())}
        for name, term in self.named_terms().items():
            digest = digests.get(term.digest_key or "")
            if teacher is None and digest is None and term.needs_teacher:
                needing = ", ".join(n for n, t in self.named_terms().items() if t.needs_teacher)
                raise ValueError(f"the terms {needing} need a teacher's output")
            ready = (prepared or {}).get(name)
            try:
                losses[name] = term(Step(student, teacher, label, seg, self.segmentation, ready, digest, weigh))
            except NoGraphError as error:
                raise ValueError(_without_graph(name, student, teacher) or f"term {name}: {error}") from error
        return Losses(self.total(losses, self.weights()), losses)

    def _require_stages(self, output: NetworkOutput, who: str) -> None:
        if not isinstance(output, NetworkOutput):
            raise ParameterError(
                f"the {who}'s output is a {type(output).__name__} without features: wrap the network in TappedNetwork, "
                "and pass what that returns"
            )
        for name, term in self.named_terms().items():
            try:
                term.require_stages(output, who)
            except ParameterError as error:
                raise ParameterError(f"term {name}: {error}") from None

    def _require_same_images(self, student: NetworkOutput, teacher: NetworkOutput) -> None:
        own, other = shape_of(student.offsets), shape_of(teacher.offsets)
        if not own and not any(getattr(tap, "shape", ()) for tap in student.taps):  # voxels
            return
        if self.needs_teacher and are_other_images(own, other):
            raise DataError(
                f"the student's logits are {own[1:]} pixels and the teacher's {other[1:]}: resize one, or transpose it"
            )
        for name, term in self.named_terms().items():
            try:
                term.require_same_images(student, teacher)
            except DataError as error:
                raise DataError(f"term {name}: {error}") from None

    def weights(self) -> dict[str, float]:
        """lambda of each term, as given."""
        return {name: term.weight for name, term in self.named_terms().items()}

    def total(self, losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Float[Tensor, ""]:
        """L_seg + sum_k lambda_k L_k.

        Args:
            losses: L_k before their weights, by name, and L_seg as ``seg``.
            weights: lambda_k by name.
        """
        total = losses["seg"]
        for name in self.named_terms():
            total = total + weights[name] * losses[name]
        return total

    def named_terms(self) -> dict[str, Term]:
        """The terms by name, in the order of the sum."""
        return dict(self.terms.items())  # type: ignore[arg-type]  # a ModuleDict does not know its entries' type


def teacher_digests(
    objectives: Iterable[DistillationObjective],
    teacher: NetworkOutput,
    label: Int64[Tensor, " n"],
    known: Container[str] = (),
) -> dict[str, dict[str, Tensor]]:
    """`DistillationObjective.digests` of several objectives; the last that differentiates the graph frees it.

    Args:
        objectives: those that need digests.
        teacher: output of the teacher for the batch (`run_teacher`).
        label: (n,) class of each voxel, -1 for none.
        known: keys that are not needed.

    Examples:
        >>> import torch
        >>> output, label = NetworkOutput(torch.zeros(2, 3), ()), torch.tensor([0, 1])
        >>> rows = [DistillationObjective({"kd": {}}), DistillationObjective({"dkd": {}})]
        >>> list(teacher_digests(rows, output, label))
        ['logits']
    """
    wanted: dict[str, tuple[Term, SegmentationLoss]] = {}
    for objective in objectives:
        for term in objective.named_terms().values():
            if term.digest_key is not None and term.digest_key not in known:
                wanted.setdefault(term.digest_key, (term, objective.segmentation))
    differentiating = [key for key, (term, _) in wanted.items() if term.needs_teacher_gradients]
    return {
        key: term.digest(replace(teacher, keep_graph=key in differentiating[:-1]), label, segmentation)
        for key, (term, segmentation) in wanted.items()
    }


def _without_graph(name: str, student: NetworkOutput, teacher: NetworkOutput | None) -> str:
    """Which network ran without the gradients that a term needs, and what to do; empty if neither did."""
    if not torch.is_grad_enabled():
        return (
            f"the loss has no graph, as gradients are off: the term {name} needs gradients also in validation: leave "
            "it out there or use torch.enable_grad()"
        )
    if teacher is not None and not teacher.logits.requires_grad:
        return f"the teacher's loss has no graph: the term {name} needs run_teacher(..., gradients=True)"
    if not student.logits.requires_grad:
        return f"the student's loss has no graph: the term {name} needs a student that ran with gradients enabled"
    return ""


def _weighted(weights: Mapping[str, float], terms: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Terms that are given by their symbol in Eq. 8."""
    weighted = {}
    for symbol, weight in weights.items():
        name = symbol.removeprefix("lambda_")
        if name == symbol or name not in TERMS:
            known = [f"lambda_{term}" for term in TERMS]
            raise ParameterError(f"unknown argument {symbol!r}; {schema.nearest(symbol, known)}")
        if name in terms:
            raise ParameterError(f"{symbol} and terms[{name!r}] both give its weight: drop one of the two")
        if not 0 <= weight < math.inf:
            raise ParameterError(f"{symbol} is {weight}: it is a weight, 0 or more and finite")
        if weight:
            weighted[name] = {"weight": weight}
    return weighted


def _build(name: str, given: Mapping[str, Any]) -> Term:
    term_parameters(name, given)  # an error names the term
    return find_term(name)(**given)


def build_objective(params: Params, row: str | None) -> DistillationObjective:
    """The objective of one row of the ablation.

    Args:
        params: parameters of the profile.
        row: name of the row; None for a network trained on the labels alone.

    Returns:
        The objective with the row's terms, in the order of ``params.terms``, then those that only the row has.

    Raises:
        ParameterError: the row, a term or one of its parameters is unknown, or a value is not allowed.

    Examples:
        >>> build_objective(Params(), None).named_terms()  # cross-entropy alone
        {}
    """
    if row is None:
        return DistillationObjective({}, lovasz=params.train.lovasz)
    if row not in params.rows:
        raise ParameterError(f"row {row!r} is not in `rows` of the parameters; {schema.nearest(row, params.rows)}")
    terms = params.rows[row].terms
    names = [*params.terms, *terms]  # the order of the sum, one for all rows; terms of this row alone come last
    ordered = {name: terms[name] for name in names if name in terms}
    return DistillationObjective(ordered, lovasz=params.train.lovasz)


def resolve_terms(params: Params) -> Params:
    """Validate and complete the parameters of every term, shared and by row, with the options of the term.

    Args:
        params: parameters of the profile.

    Returns:
        The parameters, in which every term has all of its options.

    Raises:
        ParameterError: naming ``terms.<term>.<parameter>`` or ``rows.<row>.terms.<term>.<parameter>``.

    Examples:
        >>> from topokd.params import Row
        >>> row = Row(label="My row", short="mine", color="accent", terms={"kd": {"weight": 0.3}})
        >>> params = resolve_terms(Params(rows={"mine": row}))
        >>> params.rows["mine"].terms["kd"]
        {'weight': 0.3, 'temperature': 2.0}
    """

    def complete(terms: Mapping[str, Mapping[str, Any]], where: str) -> dict[str, dict[str, Any]]:
        full = {name: term_parameters(name, given, where=f"{where}.{name}") for name, given in terms.items()}
        return {name: options.model_dump(mode="json") for name, options in full.items()}

    rows = {name: row.replace(terms=complete(row.terms, f"rows.{name}.terms")) for name, row in params.rows.items()}
    return params.replace(terms=complete(params.terms, "terms"), rows=rows)


def term_notes() -> dict[str, str]:
    """Comments for the parameters of all terms.

    Returns:
        Dotted name -> description.

    Examples:
        >>> term_notes()["terms.kd.weight"]
        'lambda_kd in Eq. 8'
    """
    notes: dict[str, str] = {}
    for name, term in TERMS.items():
        path = f"terms.{name}"
        notes[path] = (term.Options.__doc__ or "").strip().splitlines()[0]
        notes |= schema.descriptions(term.Options, path)
    return notes
