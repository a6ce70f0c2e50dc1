"""Networks, or parts of them, inside torch's wrappers: torch.compile, DataParallel and the like."""

from __future__ import annotations

from torch import nn
from torch.optim.swa_utils import AveragedModel

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)


def unwrapped(model: nn.Module) -> nn.Module:
    """The network inside torch's wrappers."""
    while name := _inside(model):
        model = getattr(model, name)
    return model


def _inside(model: nn.Module) -> str:
    """The attribute of one of torch's wrappers that holds the network; empty for any other module."""
    if isinstance(getattr(model, "_orig_mod", None), nn.Module):
        return "_orig_mod"
    return "module" if isinstance(model, _WRAPPERS) else ""


def plain_names(model: nn.Module) -> dict[str, str]:
    """The names of a network's weights as if no part of it were wrapped."""
    wrapped = [(prefix, name) for prefix, part in model.named_modules() if (name := _inside(part))]
    plain = {}
    for own in model.state_dict():
        plain_name = own
        for prefix, name in sorted(wrapped, key=lambda each: -len(each[0])):  # the innermost first
            if plain_name.startswith(f"{prefix}.{name}."):
                plain_name = f"{prefix}.{plain_name.removeprefix(f'{prefix}.{name}.')}"
        plain[own] = plain_name
    return plain
