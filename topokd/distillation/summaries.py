"""Base classes of the terms that compare a summary of the diagrams: a number, or curves on a grid of values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from topokd.distillation.feature_clouds import DiagramOptions, DiagramTerm
from topokd.schema import Positive


class CurveOptions(DiagramOptions):
    """Where curves of a diagram are evaluated: at equally spaced values from 0 on."""

    resolution: Annotated[int, Field(strict=True, ge=2)] = Field(100, description="number of values in the grid")
    longest: Positive = Field(2.0, description="last value of the grid; 2: no unit vectors are farther apart")


class SummaryTerm(DiagramTerm):
    """(1/B) sum over clouds and degrees of `summary_distance`; a term defines `summary`."""

    def loss_options(self) -> dict[str, Any]:
        """The distance."""
        return {"distance": partial(summary_distance, summary=self.summary())}

    @abstractmethod
    def summary(self) -> Callable[[Tensor], Tensor]:
        """A function of a diagram (k, 2)."""


class CurveTerm(SummaryTerm):
    """The same for curves: a term defines `curves`."""

    Options = CurveOptions

    def loss_options(self) -> dict[str, Any]:
        """The distance, in which a value of the grid stands for the interval up to the next."""
        spacing = self.options.longest / (self.options.resolution - 1)
        return {"distance": partial(summary_distance, summary=self.summary(), spacing=spacing)}

    def summary(self) -> Callable[[Tensor], Tensor]:
        """The curves on the grid."""
        grid = torch.linspace(0, self.options.longest, self.options.resolution, dtype=torch.float64)
        return partial(self.curves(), grid=grid)

    @abstractmethod
    def curves(self) -> Callable[..., Tensor]:
        """A function of a diagram (k, 2) and of ``grid``."""


def summary_distance(
    teacher: Float[Tensor, "m 2"],
    student: Float[Tensor, "k 2"],
    *,
    summary: Callable[[Tensor], Tensor],
    spacing: float = 1.0,
) -> Float[Tensor, ""]:
    """Squared difference of a summary f of two diagrams: ``spacing * sum (f(student) - f(teacher))^2``.

    Args:
        teacher: (m, 2) birth and death.
        student: (k, 2) birth and death.
        summary: a function of a diagram that returns a number, or values of curves on a grid.
        spacing: of the grid; with it, the sum approximates the integral of the squared difference.

    Returns:
        A scalar, 0 where both summaries are equal.

    Examples:
        >>> from topokd.topology import total_persistence
        >>> a, b = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.0], [0.5, 2.5]])
        >>> summary_distance(a, b, summary=total_persistence)
        tensor(4.)
    """
    return spacing * (summary(student) - summary(teacher)).square().sum()
