"""A checkpoint's metadata: its typed fields, and the check against the weights before a network is built from them."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from topokd.errors import CheckpointError
from topokd.models.presets import PRESETS
from topokd.schema import LARGEST_VOXEL

log = logging.getLogger(__name__)

_LARGEST_LIST = 64
"""Entries of a list in a network's config: stages, curves."""


@dataclass(frozen=True)
class Description:
    """Metadata of a checkpoint about its network and its training; None or empty if they are not recorded.

    A safetensors file stores strings; `of` parses them and `strings` writes them.

    Attributes:
        preset: name in `topokd.models.PRESETS`.
        class_names: names of the classes, in the order of the network's outputs.
        dataset: name of the training data.
        voxel_size: Metres.
        sweeps: scans that the network gets at a time.
        intensity: whether it was trained with intensities.
        scans: statistics of its training scans, as JSON (`topokd.data.profile.ScanProfile`).
        run: name of the training run.

    Examples:
        >>> description = Description.of("a.safetensors", {"class_names": "road,car", "voxel_size": "0.05"})
        >>> description.class_names, description.voxel_size, description.sweeps
        (('road', 'car'), 0.05, 1)
        >>> Description.of("a.safetensors", description.strings()) == description
        True
    """

    preset: str | None = None
    class_names: tuple[str, ...] = ()
    dataset: str | None = None
    voxel_size: float | None = None
    sweeps: int = 1
    intensity: bool = True
    scans: str | None = None
    run: str | None = None

    @classmethod
    def of(cls, path: str | Path, strings: Mapping[str, str]) -> Description:
        """Parse the strings of a file.

        Args:
            path: the file, for messages.
            strings: its metadata; fields that are not listed above are ignored.

        Raises:
            CheckpointError: ``sweeps`` or ``voxel_size`` is not a number in its range, or ``intensity`` no switch.
        """
        path = Path(path)
        if strings.get("intensity", "yes") not in ("yes", "none"):
            raise _contradiction(path, "intensity", f"is {strings['intensity'][:40]!r}; it is yes or none")
        names = strings.get("class_names", "")
        return cls(
            preset=strings.get("preset"),
            class_names=tuple(names.split(",")) if names else (),
            dataset=strings.get("dataset"),
            voxel_size=_voxel_size(path, strings) if "voxel_size" in strings else None,
            sweeps=_sweeps(path, strings) if "sweeps" in strings else 1,
            intensity=strings.get("intensity", "yes") != "none",
            scans=strings.get("scans"),
            run=strings.get("run"),
        )

    def strings(self) -> dict[str, str]:
        """The fields as a file stores them, without those that are not known."""
        fields = {
            "preset": self.preset,
            "class_names": ",".join(self.class_names) or None,
            "dataset": self.dataset,
            "voxel_size": None if self.voxel_size is None else repr(self.voxel_size),
            "sweeps": str(self.sweeps),
            "intensity": None if self.intensity else "none",
            "scans": self.scans,
            "run": self.run,
        }
        return {name: text for name, text in fields.items() if text is not None}


def network_config(path: Path, strings: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a network's `Config`, with lists as tuples.

    Args:
        path: the checkpoint, for messages.
        strings: its metadata.

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
    Description.of(path, strings)
    config = network_config(path, strings)
    depths = [*_tuple(config.get("enc_depths")), *_tuple(config.get("dec_depths"))]
    channels_of = [*_tuple(config.get("enc_channels")), *_tuple(config.get("dec_channels"))]
    widest = max((max(value.shape, default=0) for value in state.values()), default=0)
    if not all(isinstance(v, int) for v in [*depths, *channels_of]) or min(depths, default=0) < 0:
        raise _contradiction(path, "config", "has depths or channels that are not whole numbers, or are negative")
    if sum(depths) > len(state) or any(value > widest for value in channels_of):
        raise _contradiction(path, "config", "describes a larger network than the weights")
    _check_mlps(path, config, state)
    preset, widths = PRESETS.get(strings.get("preset", "")), config.get("enc_channels")
    if preset is not None and widths is not None and widths != preset.enc_channels:
        log.warning(
            "%s says that it holds a %s, but not its channels (%s): it is built as it describes itself",
            path, strings["preset"], ", ".join(map(str, _tuple(widths))),
        )  # fmt: skip


def _check_mlps(path: Path, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Compare the width of the MLPs, which is allocated before names and shapes are compared."""
    ratio = config.get("mlp_ratio")
    for name, value in state.items():
        if ratio is not None and name.endswith(".mlp.0.fc1.weight") and value.dim() == 2:
            hidden, channels = value.shape
            if not isinstance(ratio, int) or hidden != ratio * channels:
                raise _contradiction(
                    path, "config", f"gives mlp_ratio the value {str(ratio)[:40]}, but {name} has {hidden} x {channels}"
                )


def check_values(path: Path, state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Check that weights are finite fractions.

    Args:
        path: the file, for messages.
        state: its weights.
        own: those of the network that they are for, by the same names.

    Raises:
        CheckpointError: names the first weights that were stored as whole numbers, are not finite, or are negative
            variances.
    """
    for name, value in state.items():
        if value.is_floating_point() and value.element_size() == 1:
            raise CheckpointError(
                f"{path}: {name} is stored as {str(value.dtype)[6:]}, which has fewer than two digits, too few for a "
                "weight: use the file that training wrote, or bfloat16"
            )
        if own[name].is_floating_point() and not value.is_floating_point():
            raise CheckpointError(
                f"{path}: {name} is stored as {str(value.dtype)[6:]}, but it holds fractions: the file was converted "
                "or edited incorrectly; use the one that training wrote"
            )
        if name.endswith(".running_var") and bool((value < 0).any()):
            raise CheckpointError(
                f"{path}: {name} is negative, but it holds variances: the file was edited or assembled incorrectly; "
                "use the one that training wrote"
            )
        kept = value.to(own[name].dtype) if own[name].is_floating_point() else value  # float64 may end up infinite
        if kept.is_floating_point() and not bool(kept.isfinite().all()):
            raise CheckpointError(
                f"{path}: {name} holds NaN or infinity, or numbers that {str(kept.dtype)[6:]} cannot hold: training "
                "diverged, or the weights overflowed when they were converted; use an earlier checkpoint"
            )


def _sweeps(path: Path, strings: Mapping[str, str]) -> int:
    sweeps = _integer(path, strings, "sweeps")
    if not 1 <= sweeps <= 1000:
        raise _contradiction(path, "sweeps", f"is {sweeps}, which is not a number of scans from 1 to 1000")
    return sweeps


def _voxel_size(path: Path, strings: Mapping[str, str]) -> float:
    try:
        text = strings["voxel_size"]
        size = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        size = math.nan
    if not 0 < size <= LARGEST_VOXEL:
        raise _contradiction(
            path, "voxel_size", f"is {strings['voxel_size'][:40]!r}; it is metres, positive and at most 100"
        )
    return size


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
