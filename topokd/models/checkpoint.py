"""Load and save weights as safetensors; published ``.pth`` files are read too (`topokd.models.pickled`)."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from topokd.errors import CheckpointError, ParameterError
from topokd.io import write_bytes
from topokd.models.metadata import Description, check_metadata, check_values, network_config
from topokd.models.pickled import damaged, is_pickled, read_pickled
from topokd.models.presets import PRESETS, build_model
from topokd.models.ptv3 import PointTransformerV3
from topokd.models.wrappers import HEAD, plain_names, prefix_advice, unwrapped, without_prefix

log = logging.getLogger(__name__)

M = TypeVar("M", bound=nn.Module)


def save_checkpoint(path: str | Path, model: nn.Module, metadata: dict[str, str] | None = None) -> None:
    """Write the weights of a model as safetensors, atomically; equal weights and metadata give equal bytes.

    Args:
        path: the file to write.
        model: the network; of a `PointTransformerV3`, the preset, config, in_channels and num_classes are stored too,
            so that `load_checkpoint` and `topokd.load` can build it again.
        metadata: further strings to store, such as class_names.

    A network wrapped by torch.compile, DataParallel, DistributedDataParallel or AveragedModel, or with parts that are,
    is stored as the network inside. Tied weights are stored once under each name.

    Raises:
        CheckpointError: ``metadata`` holds anything but text.
        OSError: the file cannot be written.

    Examples:
        >>> import tempfile
        >>> model = build_model("ptv3-tiny", num_classes=3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_checkpoint(f"{folder}/tiny.safetensors", model, {"class_names": "road,car,tree"})
        ...     read_metadata(f"{folder}/tiny.safetensors")["class_names"]
        ...     load_checkpoint(f"{folder}/tiny.safetensors").num_classes
        'road,car,tree'
        3
    """
    strings = {"format": "pt"}
    model = unwrapped(model)
    if isinstance(model, PointTransformerV3):
        strings |= {
            "preset": model.preset,
            "config": json.dumps(dataclasses.asdict(model.config)),
            "in_channels": str(model.in_channels),
            "num_classes": str(model.num_classes),
        }
    strings |= metadata or {}
    for name, text in strings.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise CheckpointError(f"{path}: metadata holds {name!r}: {text!r}; a checkpoint stores text: pass str(...)")
    plain = plain_names(model)
    state = {plain[name]: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    write_bytes(path, _sort_header(save(_apart(state), strings)))


def _apart(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same weights, each in separate memory: safetensors rejects tied ones."""
    seen: set[int] = set()
    separate = {}
    for name, value in state.items():
        place = value.untyped_storage().data_ptr()
        separate[name] = value.clone() if place in seen else value
        seen.add(place)
    return separate


def _sort_header(data: bytes) -> bytes:
    """Sort the metadata of a safetensors file: the library writes it in random order."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of eight
    return len(text).to_bytes(8, "little") + text + data[end:]


def load_checkpoint(path: str | Path, model: M | None = None, map_location: str | torch.device | None = None) -> M:
    """Load weights into a model, or build the model that a checkpoint describes.

    Args:
        path: one of our safetensors files, or a torch file (.pth, .pt) as published: weights nested under "state_dict"
            or not, with optimizer states and numpy scalars or not, names with or without the prefixes of wrappers:
            "module.", "_orig_mod.", or "model." of a LightningModule (`topokd.models.wrappers.without_prefix`).
        model: the network to load into, strictly, wrapped or not; None builds the network from the metadata of the
            file.
        map_location: device of the result; None leaves ``model`` on its device.

    Returns:
        ``model`` itself, or the new network.

    Raises:
        CheckpointError: the file is missing, damaged, holds other Python objects, does not name its network while
            ``model`` is None, or belongs to another network; ``model`` is unchanged then.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_checkpoint(f"{folder}/tiny.safetensors", build_model("ptv3-tiny", num_classes=2))
        ...     load_checkpoint(f"{folder}/tiny.safetensors").num_classes
        2
    """
    path = Path(path)
    state, strings = _read(path)
    if model is None:
        built: Any = _build(path, state, strings)
        model = built
    model = cast(M, model)
    _load(path, unwrapped(model), state, strings)
    return model if map_location is None else model.to(map_location)


def load_network(path: str | Path, preset: str | None = None) -> PointTransformerV3:
    """Build a network with the weights of a checkpoint, in evaluation mode: `topokd.load`.

    Args:
        path: a file written by `save_checkpoint`, or published weights (.pth) together with ``preset``.
        preset: the architecture of published weights, which do not name it: a key of `PRESETS`. Classes and features
            per voxel are read from the shapes of the weights.

    Raises:
        CheckpointError: the file is missing or is not a checkpoint, does not name its network while ``preset`` is None,
            or belongs to another network than ``preset``.
        ParameterError: ``preset`` is unknown.
    """
    path = Path(path)
    state, metadata = _read(path)
    if preset is None or preset == metadata.get("preset"):
        model = _build(path, state, metadata)
    else:
        named = without_prefix(state, HEAD)
        try:
            num_classes = named["seg_head.weight"].shape[0]
            in_channels = named["backbone.embedding.stem.conv.weight"].shape[-1]
        except (KeyError, IndexError) as error:
            raise CheckpointError(
                f"{path} does not hold the weights of a Point Transformer V3 ({error} is missing): choose another file"
                f"{prefix_advice(state, HEAD)}"
            ) from None
        try:
            model = build_model(preset, in_channels, num_classes)
        except ParameterError as error:
            if preset not in PRESETS:
                raise
            raise CheckpointError(f"{path} does not hold the weights of a Point Transformer V3: {error}") from error
    _load(path, model, state, metadata)
    return model.eval()


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata of a safetensors checkpoint, as stored.

    Args:
        path: the file.

    Returns:
        Name -> text; empty for a torch file, which has none.

    Raises:
        CheckpointError: the file is missing or damaged.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_checkpoint(f"{folder}/tiny.safetensors", build_model("ptv3-tiny"), {"note": "first"})
        ...     read_metadata(f"{folder}/tiny.safetensors")["note"]
        'first'
    """
    path = Path(path)
    _require_file(path)
    if is_pickled(path):
        return {}
    try:
        with safe_open(path, "pt") as stream:
            return dict(stream.metadata() or {})
    except SafetensorError as error:
        raise damaged(path, error) from error


def read_description(path: str | Path) -> Description:
    """The metadata of a safetensors checkpoint about its network and its training, with types.

    Args:
        path: the file.

    Returns:
        The fields; None or empty if the checkpoint does not record them.

    Raises:
        CheckpointError: the file is missing or damaged, or a field is not of its type.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = f"{folder}/tiny.safetensors"
        ...     save_checkpoint(file, build_model("ptv3-tiny", num_classes=2), {"class_names": "road,car"})
        ...     read_description(file).class_names
        ('road', 'car')
    """
    return Description.of(path, read_metadata(path))


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise CheckpointError(f"the checkpoint {path} is a folder: give the path of the weights in it (.safetensors)")
    if not path.is_file():
        raise CheckpointError(
            f"the checkpoint {path} does not exist: check the path, or train the network first (`make repro`)"
        )


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    _require_file(path)
    if is_pickled(path):
        return read_pickled(path), {}
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from error


def _build(path: Path, state: dict[str, Tensor], strings: dict[str, str]) -> PointTransformerV3:
    """The network described by the metadata, which are first checked against the weights."""
    check_metadata(path, strings, without_prefix(state, HEAD))
    config = network_config(path, strings)
    try:
        described = strings["preset"], int(strings["in_channels"]), int(strings["num_classes"])
        with torch.device("meta"):  # names and shapes alone: nothing is allocated for what the weights are not
            outline = build_model(*described, **config)
        _matched(path, outline, state, strings)
        return build_model(*described, **config)
    except KeyError as error:
        raise CheckpointError(
            f"{path} does not say which network it belongs to ({error} is missing): name it, "
            f"topokd.load(path, preset=...) with one of {', '.join(PRESETS)}, or build it and pass it as `model` to "
            "load_checkpoint; for `topokd predict`, save_checkpoint it with class_names and voxel_size"
        ) from None
    except CheckpointError:
        raise
    except (ParameterError, ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} describes a network that this version cannot build: {str(error)[:400]}"
        ) from error


def _load(path: Path, model: nn.Module, state: dict[str, Tensor], strings: dict[str, str]) -> None:
    found, state = state, _matched(path, model, state, strings)
    if len(state) < len(found):
        log.warning("%s holds other weights beside those of the network, which are left out", path)
    plain = plain_names(model)
    check_values(path, state, {plain[name]: value for name, value in model.state_dict().items()})
    model.load_state_dict({name: state[plain[name]] for name in plain})


def _matched(path: Path, model: nn.Module, state: dict[str, Tensor], strings: dict[str, str]) -> dict[str, Tensor]:
    """The weights by the network's own names, if there is one for each name and of its shape."""
    plain = plain_names(model)
    own = {plain[name]: value for name, value in model.state_dict().items()}
    found = state
    state = without_prefix(state, own)
    differences = {
        "missing": [name for name in own if name not in state],
        "unexpected": [name for name in state if name not in own],
        "with another shape": [
            f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
            for name in own
            if name in state and state[name].shape != own[name].shape
        ],
    }
    if any(differences.values()):
        summary = "; ".join(
            f"{len(names)} {kind}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
            for kind, names in differences.items()
            if names
        )
        preset, expected = strings.get("preset") or "unknown", getattr(model, "preset", "") or type(model).__name__
        raise CheckpointError(
            f"{path} belongs to another network (preset found: {preset}, expected: {expected}): {summary}. "
            f"Choose that preset and its number of classes, or another checkpoint{prefix_advice(found, own)}"
        )
    return state
