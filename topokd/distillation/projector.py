"""A learned linear map from the student's channels to the teacher's, for losses that subtract features."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedParameter

from topokd.precision import product


class Projector(LazyModuleMixin, nn.Module):
    """r(F) = F W^T, W (c_t, c_s), learned with the student: the linear form of the regressor of FitNets.

    The widths are those of the first call. Until then ``weight`` is an uninitialised parameter, which an optimizer
    accepts like any other: make the optimizer of ``[*student.parameters(), *objective.parameters()]``. W begins as the
    identity, cut or filled with zeros where widths differ, so that it needs no random numbers.

    Examples:
        >>> projector = Projector()
        >>> optimizer = torch.optim.Adam(projector.parameters())
        >>> projector(torch.ones(2, 3), width=4).tolist()
        [[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]]
    """

    cls_to_become = None
    weight: UninitializedParameter

    def __init__(self) -> None:
        super().__init__()
        self.weight = UninitializedParameter()

    def initialize_parameters(self, rows: Tensor, width: int) -> None:  # type: ignore[override]
        """Give ``weight`` its shape (``width``, c_s) for ``rows`` (n, c_s); torch calls this before `forward`."""
        if self.has_uninitialized_params():
            with torch.inference_mode(False), torch.no_grad():  # a first call may be one of inference
                self.weight.materialize((width, rows.shape[1]), device=rows.device, dtype=rows.dtype)
                nn.init.eye_(self.weight)

    def forward(self, rows: Float[Tensor, "n c_s"], width: int) -> Float[Tensor, "n c_t"]:
        """The rows in the teacher's width.

        Args:
            rows: (n, c_s) features of the student.
            width: c_t.

        Raises:
            ValueError: when the widths are not those of the first call.
        """
        if self.weight.shape != (width, rows.shape[1]):
            raise ValueError(
                f"the projector maps {self.weight.shape[1]} to {self.weight.shape[0]} channels, not {rows.shape[1]} to "
                f"{width}: use one loss per pair of layers"
            )
        return product(rows, self.weight.to(rows.dtype).T)
