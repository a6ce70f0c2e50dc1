"""The networks of an adaptation: a trained one with other classes, or a new one."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from topokd.choices import Role
from topokd.errors import CheckpointError
from topokd.models import PointTransformerV3, load_checkpoint, read_description
from topokd.training.determinism import seeded_model, stream_seed


def starting_network(source: str | Path, class_names: tuple[str, ...], seed: int, role: Role) -> PointTransformerV3:
    """A network for ``class_names``: new from a preset, or a trained one with its last layer adapted to the classes.

    Args:
        source: name of a preset, or a checkpoint: a `Path`, or text that ends in .safetensors.
        class_names: classes of the network's outputs.
        seed: seed of new weights.
        role: teacher or student, which get different weights from one seed.

    Raises:
        ParameterError: an unknown preset.
        CheckpointError: the checkpoint does not record its architecture, or expects other inputs per voxel.
    """
    if isinstance(source, str) and not source.endswith(".safetensors"):
        return seeded_model(source, len(class_names), seed, role)
    network: PointTransformerV3 = load_checkpoint(source)
    if network.in_channels != 4:
        raise CheckpointError(
            f"{source} takes {network.in_channels} values per voxel; x, y, z and intensity are needed"
        )
    return with_classes(network, classes_of(source), class_names, stream_seed(seed, role))


def classes_of(checkpoint: str | Path) -> tuple[str, ...]:
    """Names of a checkpoint's classes; empty if it does not record them."""
    return read_description(checkpoint).class_names


def with_classes(
    network: PointTransformerV3, old: tuple[str, ...], new: tuple[str, ...], seed: int
) -> PointTransformerV3:
    """``network`` with one output per class of ``new``; classes of the same name keep their weights.

    Args:
        network: changed in place.
        old: names of its classes; () if unknown.
        new: names of the new classes.
        seed: seed of the weights of classes that are not in ``old``.

    Examples:
        >>> from topokd.models import build_model
        >>> network = build_model("ptv3-tiny", num_classes=2)
        >>> weight = network.seg_head.weight.detach().clone()
        >>> network = with_classes(network, ("road", "car"), ("crane", "road", "quay"), seed=0)
        >>> network.num_classes, bool((network.seg_head.weight[1] == weight[0]).all())
        (3, True)
    """
    if old == new:
        return network
    before = network.seg_head
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        after = nn.Linear(before.in_features, len(new))
    with torch.no_grad():
        for row, name in enumerate(new):
            if name in old:
                after.weight[row], after.bias[row] = before.weight[old.index(name)], before.bias[old.index(name)]
    network.seg_head, network.num_classes = after.to(before.weight.device), len(new)
    return network
