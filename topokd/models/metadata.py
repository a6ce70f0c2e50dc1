"""Checks a checkpoint's metadata against its weights before a network is built from them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from topokd.errors import CheckpointError

_LARGEST_LIST = 64
"""Entries of a list in a network's config: stages, curves."""


def network_config(path: Path, strings: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a network's `Config`, with lists as tuples.

    Raises:
        CheckpointError: the metadata `config` is not a JSON mapping of names to numbers, text or lists of them.
    """
    try:
        tree = json.loads(strings.get("config", "{}"))
    except (ValueError, RecursionError) as error:
        raise _contradiction(path, "config", f"is not valid JSON ({error})") from error
    if not isinstance(tree, dict):
        raise _contradiction(path, "config", f"is {str(tree)[:60]}, not a mapping of fields to values")
    for name, value in tree.items():
        entries = value if isinstance(value, list) else [value]
        if len(entries) > _LARGEST_LIST or not all(isinstance(entry, bool | int | float | str) for entry in entries):
            raise _contradiction(path, "config", f"gives {name} the value {str(value)[:60]}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in tree.items()}


def check_metadata(path: Path, strings: Mapping[str, str], state: Mapping[str, Tensor]) -> None:
    """Compare a checkpoint's metadata with its weights; missing fields are not checked.

    Args:
        path: the file, for messages.
        strings: its metadata.
        state: its weights.

    Raises:
        CheckpointError: names the field, its value, and what the weights say.
    """
    last = state.get("seg_head.weight")
    if last is not None and last.dim() == 2:
        classes = len(last)
        if "num_classes" in strings and _integer(path, strings, "num_classes") != classes:
            raise _contradiction(
                path, "num_classes", f"is {strings['num_classes']}, but the weights have {classes} classes"
            )
        if "class_names" in strings:
            names = strings["class_names"].split(",")
            if len(names) != classes:
                raise _contradiction(
                    path, "class_names", f"has {len(names)} names, but the weights have {classes} classes"
                )
            if len(set(names)) != len(names) or not all(name.strip() for name in names):
                raise _contradiction(path, "class_names", "has an empty or repeated name")
    stem = state.get("backbone.embedding.stem.conv.weight")
    if stem is not None and stem.dim() and "in_channels" in strings:
        channels = stem.shape[-1]
        if _integer(path, strings, "in_channels") != channels:
            raise _contradiction(
                path, "in_channels", f"is {strings['in_channels']}, but the weights take {channels} values per voxel"
            )
    if "sweeps" in strings and not 1 <= _integer(path, strings, "sweeps") <= 1000:
        raise _contradiction(path, "sweeps", f"is {strings['sweeps']}; it counts scans, 1 to 1000")
    if "voxel_size" in strings:
        try:
            size = float(strings["voxel_size"])
        except ValueError:
            size = math.nan
        if not 0 < size <= 100:
            raise _contradiction(
                path, "voxel_size", f"is {strings['voxel_size'][:40]!r}; it is metres, positive and at most 100"
            )
    config = network_config(path, strings)
    depths = [*_tuple(config.get("enc_depths")), *_tuple(config.get("dec_depths"))]
    channels_of = [*_tuple(config.get("enc_channels")), *_tuple(config.get("dec_channels"))]
    widest = max((max(value.shape, default=0) for value in state.values()), default=0)
    if any(not isinstance(value, int) or value < 1 for value in [*depths, *channels_of]):
        raise _contradiction(path, "config", "has depths or channels that are not positive whole numbers")
    if sum(depths) > len(state) or any(value > widest for value in channels_of):
        raise _contradiction(path, "config", "describes a larger network than the weights")


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _integer(path: Path, strings: Mapping[str, str], name: str) -> int:
    text = strings[name]
    if not (len(text) <= 18 and text.strip().isascii() and text.strip().isdigit()):
        raise _contradiction(path, name, f"is {text[:40]!r}, not a whole number")
    return int(text)


def _contradiction(path: Path, name: str, words: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: its metadata {name} {words}: the file was edited or assembled incorrectly; use the one that "
        "training wrote"
    )
