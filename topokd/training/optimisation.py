"""AdamW under a one-cycle schedule, with a lower learning rate for the attention blocks (C.2, NOTES row 7)."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from topokd.params import Optimizer


def parameter_groups(model: nn.Module, params: Optimizer) -> list[dict]:
    """Two groups of parameters: those of the transformer blocks with ``lr_attention``, all others with ``lr``.

    A block is the whole residual unit (positional convolution, attention, MLP), recognised by ``block`` in the
    parameter's name. This is the rule of the published PTv3 recipes; NOTES row 7 calls them the attention blocks. The
    others are the stem, the pooling layers and the head. A model without blocks has one group.

    Args:
        model: the network.
        params: learning rates.

    Returns:
        Groups as `torch.optim.Optimizer` takes them, with a ``name``.

    Examples:
        >>> model = nn.ModuleDict({"stem": nn.Linear(2, 2), "block0": nn.Linear(2, 2)})
        >>> [group["name"] for group in parameter_groups(model, Optimizer())]
        ['base', 'attention']
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    groups = [
        {"name": "base", "lr": params.lr, "params": [p for n, p in named if "block" not in n]},
        {"name": "attention", "lr": params.lr_attention, "params": [p for n, p in named if "block" in n]},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(model: nn.Module, params: Optimizer, objective: nn.Module | None = None) -> AdamW:
    """AdamW with ``params.weight_decay`` over `parameter_groups`; the fused kernel is several times faster.

    Args:
        model: the network.
        params: learning rates and weight decay.
        objective: the loss; what it learns, such as the projector of a term, is a separate group with ``params.lr``.
    """
    groups = parameter_groups(model, params)
    if learned := list(objective.parameters()) if objective is not None else []:
        groups.append({"name": "objective", "lr": params.lr, "params": learned})
    return AdamW(groups, lr=params.lr, weight_decay=params.weight_decay, fused=True)


def build_schedule(optimizer: torch.optim.Optimizer, steps: int, params: Optimizer) -> OneCycleLR:
    """One cycle over ``steps``: each group rises from max / div_factor to its maximum, then falls along a cosine.

    The last value is max / div_factor / final_div_factor. The rise takes at least one step, however short the run.

    Args:
        optimizer: its groups have their maximal learning rates.
        steps: number of training steps.
        params: parameters of the cycle.
    """
    total = max(steps, 3)  # with fewer, the torch schedule divides by zero
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=total,
        pct_start=max(params.pct_start, 2 / total),
        anneal_strategy="cos",
        cycle_momentum=True,
        div_factor=params.div_factor,
        final_div_factor=params.final_div_factor,
    )
