"""Weights on disk: safetensors of ours, and whatever published checkpoints come as.

Nothing read here can run code: torch files go through ``torch.load(weights_only=True)``, and what published files
hold beside tensors (numpy scalars, say) is not made but stood in for.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from topokd.errors import CheckpointError, ParameterError
from topokd.io import write_bytes
from topokd.models.presets import build_model
from topokd.models.ptv3 import PointTransformerV3

M = TypeVar("M", bound=nn.Module)
_NESTS = ("state_dict", "model_state_dict", "model")  # where training codes put the weights
_PREFIXES = ("module.", "_orig_mod.")  # what DistributedDataParallel and torch.compile put before a name


class _Unmade:
    """Stands for a value of no use beside the weights: takes whatever would make it, and makes nothing.

    Numpy's own makers would do for honest files, but a forged one could let them change numpy's shared dtypes.
    """

    def __new__(cls, *parts: object) -> _Unmade:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


_UNMADE = (  # what numpy's scalars and arrays are pickled by (numpy 1: core, 2: _core), and old schedulers' functions
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "builtins.getattr",
    "torch.optim.lr_scheduler.OneCycleLR",
)


def save_checkpoint(path: str | Path, model: nn.Module, metadata: dict[str, str] | None = None) -> None:
    """Write a model's state as safetensors, atomically; equal weights and metadata are equal bytes.

    The file also holds strings: ``metadata``, and for a :class:`PointTransformerV3` its preset, config, in_channels and
    num_classes, so that :func:`load_checkpoint` can build it again.

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
    if isinstance(model, PointTransformerV3):
        strings |= {
            "preset": model.preset,
            "config": json.dumps(dataclasses.asdict(model.config)),
            "in_channels": str(model.in_channels),
            "num_classes": str(model.num_classes),
        }
    strings |= metadata or {}
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    write_bytes(path, _sort_header(save(state, strings)))


def _sort_header(data: bytes) -> bytes:
    """The same safetensors file with its strings in a fixed order; the library writes them in a random one."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight
    return len(text).to_bytes(8, "little") + text + data[end:]


def load_checkpoint(path: str | Path, model: M | None = None, map_location: str | torch.device | None = None) -> M:
    """The model that ``path`` holds; or ``model`` itself with the weights of ``path``, strictly.

    Reads our safetensors, and torch files (.pth, .pt) as published: nested under "state_dict" or not, beside the states
    of an optimizer and numpy scalars or not, names with "module." and "_orig_mod." before them or not. Files without
    our metadata need ``model``. The result is moved to ``map_location``; with None, ``model`` stays where it is.
    Raises :class:`CheckpointError` when the file is missing, damaged, holds other Python objects, or belongs to another
    network; then ``model`` is unchanged.
    """
    path = Path(path)
    state, strings = _read(path)
    if model is None:
        built: Any = _build(path, strings)
        model = built
    model = _load(path, cast(M, model), state, strings)
    return model if map_location is None else model.to(map_location)


def read_metadata(path: str | Path) -> dict[str, str]:
    """The strings stored in one of our checkpoints. Raises :class:`CheckpointError` for a missing or damaged file."""
    path = Path(path)
    _require(path)
    try:
        with safe_open(path, "pt") as stream:
            return dict(stream.metadata() or {})
    except SafetensorError as error:
        raise _damaged(path, error) from error


def _require(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(f"the checkpoint {path} does not exist: train it first (`dvc repro`), or mend the path")


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged or cut short, or is no checkpoint ({type(error).__name__}: "
        f"{str(error).strip()[:120]}): copy or download it again, or delete it and train again"
    )


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    _require(path)
    with path.open("rb") as stream:
        start = stream.read(9)
    if start[8:] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):  # torch's zip files and older bare pickles
        return _read_torch(path), {}
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        with torch.serialization.safe_globals([(_Unmade, name) for name in _UNMADE]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        foreign = re.search(r"nsupported (?:global: )?GLOBAL (\S+)", str(error))
        if foreign is None and "Unsupported" not in str(error):
            raise _damaged(path, error) from error
        raise CheckpointError(
            f"{path} holds Python objects besides tensors ({foreign[1] if foreign else 'of an unknown kind'}), which "
            "could run any code when loaded; none was made. If you trust its source, save its weights alone where it "
            f"was made: torch.save(torch.load({path.name!r}, weights_only=False)['state_dict'], 'weights.pth')"
        ) from error
    except Exception as error:  # the unpickler stumbles over cut files in many ways
        raise _damaged(path, error) from error
    for nest in _NESTS:
        if isinstance(content, dict) and isinstance(content.get(nest), dict):
            content = content[nest]
    named = isinstance(content, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())
    if not named or not content:
        raise CheckpointError(f"{path} holds no state_dict, at the top or under {', '.join(_NESTS)}")
    return content


def _build(path: Path, strings: dict[str, str]) -> PointTransformerV3:
    try:
        config = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(strings.get("config", "{}")).items()}
        return build_model(strings["preset"], int(strings["in_channels"]), int(strings["num_classes"]), **config)
    except KeyError as error:
        raise CheckpointError(
            f"{path} does not say which network it belongs to ({error} missing): "
            "build that network and pass it as `model`"
        ) from None
    except (ParameterError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} describes a network that this version cannot build: {error}") from error


def _load(path: Path, model: M, state: dict[str, Tensor], strings: dict[str, str]) -> M:
    own = model.state_dict()
    while state and state.keys() != own.keys():
        before = next((prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in state)), None)
        if before is None:
            break
        state = {name[len(before) :]: value for name, value in state.items()}
    faults = {
        "missing": [name for name in own if name not in state],
        "unexpected": [name for name in state if name not in own],
        "of another shape": [
            f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
            for name in own
            if name in state and state[name].shape != own[name].shape
        ],
    }
    if any(faults.values()):
        told = "; ".join(
            f"{len(names)} {kind}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
            for kind, names in faults.items()
            if names
        )
        found, expected = strings.get("preset") or "unknown", getattr(model, "preset", "") or type(model).__name__
        raise CheckpointError(
            f"{path} is of another network (preset found: {found}, expected: {expected}): {told}. "
            "Choose that preset and its number of classes, or another checkpoint"
        )
    model.load_state_dict(state)
    return model
