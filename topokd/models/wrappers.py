"""Networks, or parts of them, inside torch's wrappers: torch.compile, DataParallel and the like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

HEAD = ("seg_head.weight", "seg_head.bias")
"""Names that every Point Transformer V3 of ours has, whatever its depths."""
_MOST_BESIDE = 0.1
"""Most weights in addition to a network's (of a loss, a counter), as a share of those; more are another network."""
_INNER = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Where torch.compile, FSDP and its activation checkpointing keep a part of a network that they wrap."""
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


def without_prefix(state: dict[str, Tensor], known: Collection[str]) -> dict[str, Tensor]:
    """Weights by the names that a network gives them, without what wrappers put before them.

    DistributedDataParallel adds ``module.``, torch.compile ``_orig_mod.``, a LightningModule the attribute that holds
    the network. The prefix under which most names are ``known`` is removed. Names beside it (the class weights of a
    loss) are left out if all ``known`` ones are there and the others are few; else nothing is removed.

    Args:
        state: the weights of a file.
        known: names of the network, all of them or a few.
    """
    for inner in _INNER:
        if not any(f".{inner}." in name for name in known):
            state = {name.replace(f".{inner}.", "."): value for name, value in state.items()}
    prefix = next(iter(_prefixes(state, known)), "")
    inside = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    beside = len(state) - len(inside)
    whole = set(known) <= inside.keys() and beside <= _MOST_BESIDE * len(inside)
    return inside if whole or not beside else state


def prefix_advice(state: dict[str, Tensor], known: Collection[str]) -> str:
    """What to do about a file with several networks, or one beside many other weights; empty for any other file."""
    prefixes = [prefix for prefix in _prefixes(state, known) if prefix]
    if not prefixes or all(name.startswith(prefixes[0]) for name in state):
        return ""
    first = prefixes[0]
    return (
        f". Its names begin with {' or '.join(prefixes[:4])}, and others stand beside: save one network alone, "
        f"torch.save({{k.removeprefix({first!r}): v for k, v in state.items() if k.startswith({first!r})}}, "
        "'weights.pth')"
    )


def _prefixes(state: dict[str, Tensor], known: Collection[str]) -> list[str]:
    """What stands before names that are ``known``, the most frequent first, then the shortest."""
    known, found = set(known), Counter[str]()
    for name in state:
        parts = name.split(".")
        for k in range(len(parts)):
            if ".".join(parts[k:]) in known:
                found["".join(f"{part}." for part in parts[:k])] += 1
    most = max(found.values(), default=0)
    return sorted((p for p, count in found.items() if 2 * count >= most), key=lambda p: (-found[p], len(p)))
