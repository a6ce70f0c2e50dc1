"""Parameters and floating-point operations of a network, by part and kind.

A FLOP is one multiplication or one addition: a product of (n, a) and (a, b) matrices costs 2 n a b.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from topokd.data import Batch
from topokd.models import PointTransformerV3
from topokd.models.attention import PatchAttention
from topokd.models.convolution.layer import SubmanifoldConv
from topokd.models.modes import evaluation_mode

PARTS = ("encoder", "decoder", "head")
KINDS = ("linear", "convolution", "attention")


def part_of(name: str) -> str:
    """Part of the network that a parameter or module belongs to, by its name; the stem belongs to the encoder."""
    if name.startswith("seg_head"):
        return "head"
    return "decoder" if name.startswith("backbone.dec.") else "encoder"


def count_parameters(model: PointTransformerV3) -> dict[str, int]:
    """Trainable parameters of the whole network and of its parts.

    Args:
        model: the network.

    Returns:
        Numbers by part, and their sum as ``total``.

    Examples:
        >>> from topokd.models import build_model
        >>> count_parameters(build_model("ptv3-teacher"))["total"]
        46159312
    """
    counts = dict.fromkeys(("total", *PARTS), 0)
    for name, parameter in model.named_parameters():
        counts["total"] += parameter.numel()
        counts[part_of(name)] += parameter.numel()
    return counts


def parameters_by_module(model: PointTransformerV3) -> dict[str, int]:
    """Parameters of the embedding, of each encoder and decoder stage in the order they run in, and of the head.

    Args:
        model: the network.

    Returns:
        Numbers by the name of the module.

    Examples:
        >>> from topokd.models import build_model
        >>> list(parameters_by_module(build_model("ptv3-tiny")))[:2]
        ['embedding', 'enc0']
    """
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        parts = name.removeprefix("backbone.").split(".")
        module = parts[1] if parts[0] in ("enc", "dec") else parts[0]
        counts[module] = counts.get(module, 0) + parameter.numel()
    return counts


def count_flops(model: PointTransformerV3, batch: Batch | dict[str, Tensor]) -> dict[str, dict[str, int]]:
    """Operations of one forward pass in evaluation mode, exactly.

    - ``linear``: 2 n c_in c_out of every dense layer
    - ``projections``: the part of ``linear`` around attention (q, k, v and its output)
    - ``convolution``: 2 pairs c_in c_out, over the pairs of occupied voxels that a submanifold convolution joins
    - ``attention``: 4 rows keys c of each patch, the products q k^T and (softmax) v

    Biases, norms, activations and index work are not counted, as in the torch flop counter. A row that is repeated
    in the last patch of a cloud counts once in ``linear`` (CPU inference projects it twice; we do not count that).

    Args:
        model: network to count.
        batch: its input.

    Returns:
        Counts by part (``encoder``, ``decoder``, ``head``, ``total``) and kind (as above, and ``total``).

    Examples:
        >>> from topokd.models import build_model
        >>> batch = {"coord": torch.eye(3), "grid_coord": 2 * torch.eye(3).int(), "feat": torch.ones(3, 4)}
        >>> model = build_model("ptv3-tiny", num_classes=5)
        >>> flops = count_flops(model, batch | {"offset": torch.tensor([3])})
        >>> flops["head"]["linear"] == 2 * 3 * model.seg_head.in_features * 5
        True
    """
    flops = {part: dict.fromkeys(("projections", *KINDS), 0) for part in PARTS}

    def hook_of(name: str) -> Callable[..., None]:
        counts, attention = flops[part_of(name)], ".attn." in name

        def hook(module: nn.Module, given: tuple[Any, ...], _: Any) -> None:
            if isinstance(module, nn.Linear) and not attention:
                counts["linear"] += 2 * given[0].shape[0] * module.in_features * module.out_features
            elif isinstance(module, SubmanifoldConv):
                c_in, c_out = module.weight.shape[0], module.weight.shape[-1]
                counts["convolution"] += 2 * given[1].num_pairs * c_in * c_out
            elif isinstance(module, PatchAttention):
                x, patches = given[:2]
                squares = patches.num_full * patches.size**2 + sum(n**2 for n in patches.short)
                counts["attention"] += 4 * squares * x.shape[1]
                projections = 2 * x.shape[0] * (module.qkv.weight.numel() + module.proj.weight.numel())
                counts["linear"] += projections
                counts["projections"] += projections

        return hook

    counted = (nn.Linear, SubmanifoldConv, PatchAttention)
    hooks = [m.register_forward_hook(hook_of(name)) for name, m in model.named_modules() if isinstance(m, counted)]
    try:
        with evaluation_mode(model), torch.inference_mode():
            model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    flops["total"] = {kind: sum(flops[part][kind] for part in PARTS) for kind in ("projections", *KINDS)}
    for counts in flops.values():
        counts["total"] = sum(counts[kind] for kind in KINDS)
    return flops
