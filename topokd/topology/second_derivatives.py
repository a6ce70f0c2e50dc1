"""An error for second derivatives that a function does not have; autograd alone would silently treat them as zero."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def refuse_second(name: str, gradient: Tensor | None, *inputs: Tensor) -> Tensor | None:
    """``gradient``, which raises an error when it is differentiated again.

    For the return value of ``backward``. With `torch.autograd.function.once_differentiable`, a second backward pass
    raises only if the incoming gradient requires a gradient, and is otherwise silently zero.

    Args:
        name: the function, for the message.
        gradient: the first derivative, or None.
        inputs: saved tensors that it depends on.

    Raises:
        RuntimeError: from the backward pass through the result.
    """
    if gradient is None or not torch.is_grad_enabled():  # without create_graph=True nothing is differentiated again
        return gradient
    return _Refused.apply(gradient, name, *inputs)  # type: ignore[no-any-return]


class _Refused(torch.autograd.Function):
    """The identity; its backward pass raises."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, name: str, *inputs: Tensor) -> Tensor:
        ctx.name = name
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        raise RuntimeError(
            f"{ctx.name} has no second derivatives: a gradient of it (create_graph=True) cannot be differentiated "
            "again; detach it, or leave this term out of the penalty"
        )
