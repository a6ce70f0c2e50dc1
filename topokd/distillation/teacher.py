"""The frozen teacher and its forward pass."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from topokd.distillation.hooks import TappedNetwork
from topokd.distillation.term import NetworkOutput
from topokd.errors import ParameterError
from topokd.models.wrappers import unwrapped


def freeze(teacher: nn.Module) -> nn.Module:
    """Put the teacher in evaluation mode and exclude its parameters from gradients.

    Args:
        teacher: changed in place.

    Returns:
        ``teacher`` itself.

    Examples:
        >>> any(p.requires_grad for p in freeze(torch.nn.Linear(2, 2)).parameters())
        False
    """
    return teacher.eval().requires_grad_(False)


def run_teacher(teacher: nn.Module, *inputs: Any, gradients: bool, **named: Any) -> NetworkOutput:
    """Logits and taps of the frozen teacher.

    Args:
        teacher: a network called as ``teacher(batch, taps=True)``, or a `TappedNetwork`; perhaps inside torch.compile
            or DistributedDataParallel.
        inputs: one `topokd.data.Batch`, or the inputs of the `TappedNetwork`.
        gradients: let the input features require gradients, so that activations have gradients while no parameter
            does. Without, no graph is recorded.
        named: further arguments of the `TappedNetwork`, such as ``offsets``.

    Returns:
        Logits, and one tap per stage.

    Raises:
        ParameterError: ``teacher`` is neither.

    Examples:
        >>> teacher = freeze(TappedNetwork(torch.nn.Sequential(torch.nn.Linear(2, 3)), ["0"]))
        >>> run_teacher(teacher, torch.ones(4, 2), gradients=False).logits.shape
        torch.Size([4, 3])
    """
    if isinstance(unwrapped(teacher), TappedNetwork):
        with torch.set_grad_enabled(gradients):
            return teacher(*inputs, **named)
    try:
        (batch,) = inputs
        if not gradients:
            with torch.no_grad():
                return NetworkOutput(*teacher(batch, taps=True))
        fields = {name: getattr(batch, name) for name in ("coord", "grid_coord", "feat")}
        fields |= {"feat": batch.feat.detach().requires_grad_(True), "offset": batch.offsets}
        with torch.enable_grad():
            return NetworkOutput(*teacher(fields, taps=True))
    except (TypeError, ValueError, AttributeError):
        network = unwrapped(teacher)
        if _has_taps(network):
            raise
        raise ParameterError(
            f"the teacher, a {type(network).__name__}, returns no features of its own: wrap the network in "
            "TappedNetwork"
        ) from None


def _has_taps(network: nn.Module) -> bool:
    """Whether a network can be called as ``network(batch, taps=True)``, as far as its signature says."""
    parameters = inspect.signature(network.forward).parameters
    return "taps" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
