"""Input of the functions of diagrams: one diagram, or a list of them (a ragged batch), checked on entry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from topokd.checks import first_nonfinite_row, real_tensor
from topokd.errors import DataError
from topokd.topology.critical_edges import in_forward_mode

Diagram = Tensor | np.ndarray
"""Finite pairs (k, 2) of birth and death; k may be 0."""
Diagrams = Diagram | Sequence[Diagram]
"""One diagram, or one per cloud; the results of a list are stacked along a new first axis, in the widest type."""


@dataclass(frozen=True)
class Padded:
    """A batch of diagrams as one tensor; the rows that fill up shorter diagrams lie at (0, 0), on the diagonal."""

    points: Float[Tensor, "b k 2"]
    sizes: list[int]
    single: bool

    @property
    def births(self) -> Float[Tensor, "b k"]:
        """Births, in the autograd graph."""
        return self.points[..., 0]

    @property
    def deaths(self) -> Float[Tensor, "b k"]:
        """Deaths, in the autograd graph."""
        return self.points[..., 1]

    @cached_property
    def persistence(self) -> Float[Tensor, "b k"]:
        """Death minus birth; 0 for the rows of the padding."""
        return self.points[..., 1] - self.points[..., 0]

    @cached_property
    def real(self) -> Bool[Tensor, "b k"]:
        """Which rows are points of a diagram, and which are padding."""
        sizes = torch.tensor(self.sizes, device=self.points.device)
        return torch.arange(self.points.shape[1], device=self.points.device) < sizes[:, None]

    def result(self, values: Float[Tensor, "b ..."]) -> Tensor:
        """``values`` of a batch; the first of them for one diagram."""
        return values.squeeze(0) if self.single else values


def diagrams(given: Diagrams, name: str) -> tuple[list[Float[Tensor, "_ 2"]], bool]:
    """The diagrams as floating-point tensors, and whether it was one diagram rather than a list.

    Args:
        given: one diagram, or a list of them.
        name: the argument's name, for the message of an error.

    Raises:
        DataError: a wrong shape, a value that is not finite, or a death before its birth.
    """
    single = isinstance(given, Tensor | np.ndarray)
    if not isinstance(given, Tensor | np.ndarray | list | tuple):
        hint = f"; take one degree of it, as {name}.diagrams[1]" if hasattr(given, "diagrams") else ""
        raise DataError(f"{name} is of type {type(given).__name__}: pass one diagram (k, 2), or a list of them{hint}")
    tensors = [given] if isinstance(given, Tensor | np.ndarray) else list(given)
    if not tensors:
        raise DataError(f"{name} is an empty list: pass at least one diagram (an empty diagram has the shape (0, 2))")
    checked = []
    for k, diagram in enumerate(tensors):
        checked.append(as_pairs(diagram, name if single else f"{name}[{k}]"))
    first = checked[0]
    for k, x in enumerate(checked):
        if x.device != first.device:
            raise DataError(f"{name}[{k}] is on {x.device} and {name}[0] on {first.device}: move them to one device")
        check_values(x, name if single else f"{name}[{k}]")
    return checked, single


def as_pairs(diagram: Diagram, name: str) -> Float[Tensor, "k 2"]:
    """A diagram as a floating-point tensor.

    Args:
        diagram: (k, 2) pairs.
        name: name of the argument, for messages.

    Raises:
        DataError: the shape is not (k, 2), or the numbers are not real.
    """
    x: Any = diagram
    if array_of(x) is None:  # otherwise it is what `real_tensor` would return
        x = real_tensor(x, name)
        x = x if x.is_floating_point() else x.double()
    if x.dim() != 2 or x.shape[1] != 2:
        batch = "; pass several diagrams as a list of them" if x.dim() == 3 and x.shape[2] == 2 else ""
        raise DataError(
            f"{name} has the shape {tuple(x.shape)}, expected (k, 2): one row (birth, death) per pair{batch}"
        )
    return x


def require_finite_pairs(diagram: Float[Tensor, "k 2"], name: str) -> None:
    """Check that all pairs of ``diagram`` are finite.

    Raises:
        DataError: one is not; has its row and the argument's ``name``.
    """
    row = first_nonfinite_row(diagram)
    if row is not None:
        raise DataError(
            f"row {row} of {name} is {diagram[row].tolist()}: functions of diagrams take finite pairs; drop the "
            "classes that never die (Persistence.diagrams holds finite pairs only)"
        )


def check_values(diagram: Float[Tensor, "k 2"], name: str) -> None:
    """Check that all pairs of ``diagram`` are finite, and that no death is before its birth.

    Raises:
        DataError: one is not; has its row and the argument's ``name``.
    """
    if len(diagram) == 0:
        return
    array = array_of(diagram)
    if array is not None and _are_valid(array):
        return
    values = diagram.detach()
    persistence = values[:, 1] - values[:, 0]
    low, high = persistence.aminmax()
    if float(low) >= 0 and float(high) < math.inf:  # both fail for NaN, and for an infinite birth or death
        return
    require_finite_pairs(values, name)
    row = int((~(persistence >= 0) | (persistence == math.inf)).nonzero()[0])
    raise DataError(
        f"row {row} of {name} is {values[row].tolist()}, which dies before its birth or overflows: columns are "
        "(birth, death); for a superlevel filtration pass -diagram"
    )


def array_of(x: Any) -> ndarray | None:
    """The numbers of a float32 or float64 tensor without a copy: on so few of them NumPy is faster than torch.

    Returns:
        None for what NumPy cannot read (other types, tensors on a GPU, those of `torch.func`), and in forward mode.
    """
    if type(x) not in (Tensor, torch.nn.Parameter) or x.dtype not in (torch.float32, torch.float64):
        return None
    if in_forward_mode():
        return None
    try:
        return x.detach().numpy()  # type: ignore[no-any-return]
    except (RuntimeError, TypeError):
        return None


def float64_array(x: Tensor) -> ndarray:
    """The numbers of a tensor on any device in a contiguous array, for closed forms and compiled loops."""
    array = array_of(x)
    return np.ascontiguousarray(x.detach().to("cpu", torch.float64).numpy() if array is None else array, np.float64)


def _are_valid(pairs: ndarray) -> bool:
    """Whether all pairs are finite, and none dies before its birth."""
    with np.errstate(invalid="ignore", over="ignore"):
        persistence = pairs[:, 1] - pairs[:, 0]
    return bool(persistence.min() >= 0 and persistence.max() < math.inf)  # both fail for NaN


def padded(given: Diagrams, name: str = "diagram") -> Padded:
    """The diagrams ``given`` (one, or a list) as one padded tensor, checked as in `diagrams` under their ``name``."""
    tensors, single = diagrams(given, name)
    widest = reduce(torch.promote_types, (x.dtype for x in tensors))  # `pad_sequence` takes the type of the first
    points = tensors[0][None] if len(tensors) == 1 else pad_sequence([x.to(widest) for x in tensors], batch_first=True)
    return Padded(points, [len(x) for x in tensors], single)


def raised(base: Float[Tensor, "*s"], exponent: float) -> Float[Tensor, "*s"]:
    """``base ** exponent`` for base >= 0, with 0 ** exponent = 0 and without a gradient there.

    >>> x = torch.tensor([0.0, 4.0], requires_grad=True)
    >>> raised(x, 0.5).sum().backward()
    >>> x.grad
    tensor([0.0000, 0.2500])
    """
    if exponent == 1:
        return base
    positive = base > 0
    return torch.where(positive, torch.where(positive, base, 1.0).pow(exponent), 0.0)


def grid_values(grid: Tensor | np.ndarray | Sequence[float], like: Tensor) -> Float[Tensor, " g"]:
    """The values of a grid in the type and on the device of a diagram.

    Args:
        grid: (g,) filtration values.
        like: tensor with that type and device.

    Raises:
        DataError: the grid is not one-dimensional, or not finite.
    """
    values = real_tensor(grid, "grid").to(like)
    if values.dim() != 1:
        raise DataError(f"grid has the shape {tuple(values.shape)}, expected (g,): pass torch.linspace(low, high, g)")
    if not bool(torch.isfinite(values).all()):
        raise DataError("grid holds NaN or infinity: pass finite filtration values")
    return values
