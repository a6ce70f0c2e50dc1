"""One tester for all losses and terms: common requirements, on two small networks with five stages.

A loss or a term is a `Case`; every name in ``TERMS`` becomes one without being listed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from topokd.clouds import at_least_float32
from topokd.distillation import TERMS, NetworkOutput, SegmentationLoss, Step

WIDTH, CLASSES, STAGES = 3, 4, 5


@dataclass
class Pair:
    """Student and teacher on one batch of clouds with equally many labelled points."""

    step: Step
    x: Tensor  # the student's input, a leaf
    x_teacher: Tensor
    offsets: Tensor

    @property
    def student(self) -> NetworkOutput:
        return self.step.student

    @property
    def teacher(self) -> NetworkOutput:
        return self.step.teacher


@dataclass(frozen=True)
class Case:
    """A loss, how it is called, and how it is built where its gradient is compared with differences of its value."""

    build: Callable[[], nn.Module]
    call: Callable[[nn.Module, Pair], Tensor] = lambda term, pair: term(pair.step)
    zero_at_equality: bool = True
    rejects: tuple[str, ...] = ("student", "teacher")  # words of the error for each network's non-finite input
    exact: Callable[[], nn.Module] | None = None

    def value(self, pair: Pair) -> Tensor:
        return self.call(self.build(), pair)

    def value_and_gradient(self, pair: Pair, autocast: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        """The loss and its gradient in the student's input; of all this only the loss is under autocast."""
        module = self.build()
        with torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None):
            loss = self.call(module, pair)
        return loss.detach(), torch.autograd.grad(loss, pair.x)[0]


# Terms with default options for which the gradient is not the derivative of the value.
EXACT_OPTIONS: dict[str, dict[str, Any]] = {"grad": {"second_order": True}}


def term_case(name: str) -> Case:
    """The case of a registered term with its default options."""
    kind, options = TERMS[name], EXACT_OPTIONS.get(name, {})
    if not kind.needs_teacher:
        return Case(kind, zero_at_equality=False, rejects=("student",))
    return Case(kind, exact=lambda: kind(**options))


@dataclass
class Networks:
    """Weights of a student and a wider teacher; the same for all calls with one seed."""

    seed: int
    dtype: torch.dtype = torch.float64
    equal: bool = False
    bad: dict[int, float] = field(default_factory=dict)  # by network: 0 the student, 1 the teacher
    weights: list[list[Tensor]] = field(init=False)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        self.weights = []
        for width in (4, 4 if self.equal else 6):
            shapes = [(WIDTH, width), *[(width, width)] * (STAGES - 1), (STAGES * width, CLASSES)]
            self.weights.append([torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes])
        if self.equal:
            self.weights[1] = self.weights[0]

    def run(self, x: Tensor, grid: Tensor, offsets: Tensor, role: int) -> NetworkOutput:
        """A network's logits and taps on the points ``x``; ``bad`` is added to one feature of each tap."""
        *stages, head = (weight.to(x.dtype) for weight in self.weights[role])
        feats = [x]
        for weight in stages:
            feats.append((feats[-1] @ weight).tanh())
            if role in self.bad:
                poison = torch.zeros_like(feats[-1])
                poison[1, 1] = self.bad[role]
                feats[-1] = feats[-1] + poison
        logits = torch.cat(feats[1:], 1) @ head
        return NetworkOutput(
            logits, [SimpleNamespace(feat=feat, grid_coord=grid, offsets=offsets) for feat in feats[1:]]
        )

    def points(self, clouds: int, size: int) -> tuple[Tensor, Tensor]:
        """Inputs of student and teacher."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        x, other = torch.randn(2, clouds * size, WIDTH, generator=generator, dtype=torch.float64).to(self.dtype)
        return x, x.clone() if self.equal else other

    def pair(
        self, clouds: int = 2, size: int = 8, *, only: int | None = None, points: Sequence[Tensor] | None = None
    ) -> Pair:
        """Both networks on the same clouds; ``only`` keeps one of them."""
        x, x_teacher = points or self.points(clouds, size)
        label = torch.arange(len(x)) * 7 % CLASSES
        grid = torch.stack([torch.arange(len(x)) % size, torch.arange(len(x)) % 2, torch.zeros(len(x)).long()], 1)
        offsets = torch.arange(1, clouds + 1) * size
        if only is not None:
            rows = slice(only * size, (only + 1) * size)
            x, x_teacher, label, grid, offsets = x[rows], x_teacher[rows], label[rows], grid[rows], offsets[:1]
        x = x if x.requires_grad else x.clone().requires_grad_(True)
        x_teacher = x_teacher.detach().clone().requires_grad_(True)  # as run_teacher does for gradients
        student, teacher = self.run(x, grid, offsets, 0), self.run(x_teacher, grid, offsets, 1)
        seg = functional.cross_entropy(at_least_float32(student.logits), label)  # SegmentationLoss without its checks
        return Pair(Step(student, teacher, label, seg, SegmentationLoss()), x, x_teacher, offsets)
