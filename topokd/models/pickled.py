"""Read the weights in published ``.pth`` files without executing code from them.

They are opened with ``torch.load(weights_only=True)``, and the pickled objects that such files hold in addition to
tensors (numpy scalars, say) are replaced by inert placeholders.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import re
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from topokd.checks import require_memory
from topokd.errors import CheckpointError, DataError

log = logging.getLogger(__name__)

_OTHERS = {
    b"version https://git-lfs": "a pointer of Git LFS, not the weights: run `git lfs pull`",
    b"outs:": "a pointer of DVC, not the weights: run `dvc pull`",
    b"<!doctype html": "a web page, not the weights: the download failed; get the file again",
    b"<html": "a web page, not the weights: the download failed; get the file again",
    b"<?xml": "an error message of a server, not the weights: the download failed; get the file again",
    b"\x1f\x8b": "packed by gzip: unpack it first (gunzip)",
    b"gguf": "of another format (GGUF), which holds no weights of topokd",
    b"\x89hdf": "of another format (HDF5, of Keras perhaps): convert the weights to safetensors",
}
"""First bytes, in small letters, of files that are mistaken for weights, and what to say about them."""
_PROGRAMS = {
    "constants.pkl": "a TorchScript program",
    "archive_format": "a program of torch.export",
    "serialized_exported_program.json": "a program of torch.export",
}
"""Ends of the names in archives of programs, and what to call these."""
_SCANS = (".bin", ".pcd", ".ply", ".las", ".laz", ".npy")  # given in place of a checkpoint by mistake
_CONTAINERS = ("state_dict", "model_state_dict", "model", "module")  # keys under which training codes store weights


class _InertPlaceholder:
    """Inert placeholder for pickled objects we do not need (numpy scalars, scheduler functions).

    We do not allow the real constructors of numpy: a malicious file could use them to mutate shared dtype objects.
    """

    def __new__(cls, *arguments: object) -> _InertPlaceholder:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


_REPLACED = (  # constructors of numpy scalars and arrays (numpy 1: core, 2: _core), and functions of old schedulers
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "builtins.getattr",
    "torch.optim.lr_scheduler.OneCycleLR",
)


def is_pickled(path: Path) -> bool:
    """Whether it is a zip file of torch or an older bare pickle, rather than a safetensors file."""
    with path.open("rb") as stream:
        start = stream.read(9)
    return start[8:] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80")


def read_pickled(path: Path) -> dict[str, Tensor]:
    """The weights in a file of ``torch.save``: a state_dict, or one under a key of `_CONTAINERS`.

    Args:
        path: the file.

    Raises:
        CheckpointError: the file is damaged, holds other Python objects, or no state_dict.
    """
    _check_archive(path)
    try:
        with torch.serialization.safe_globals([(_InertPlaceholder, name) for name in _REPLACED]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        foreign = re.search(r"nsupported (?:global: )?GLOBAL (\S+)", str(error))
        if foreign is None and "Unsupported" not in str(error):
            raise damaged(path, error) from error
        raise CheckpointError(
            f"{path} holds Python objects besides tensors ({foreign[1] if foreign else 'of an unknown kind'}). Loading "
            "them could run any code, so nothing was loaded. If you trust its source, save its weights alone where it "
            f"was made: torch.save(torch.load({path.name!r}, weights_only=False)['state_dict'], 'weights.pth'), or "
            ".state_dict() in place of ['state_dict'] if it holds a whole network"
        ) from error
    except Exception as error:  # the unpickler fails on truncated files in many ways
        raise damaged(path, error) from error
    top = content if isinstance(content, dict) else {}
    averaged = [str(key) for key, value in top.items() if _is_average(key, value)]
    if averaged and any(key in top for key in _CONTAINERS):
        log.warning(
            "%s: the weights of the last step are read; the averaged ones under %s are not: save those alone to use "
            "them",
            *(path, averaged[0][:40]),
        )
    for _ in _CONTAINERS:  # one in another, but no circle of them
        inner = [
            content[key] for key in _CONTAINERS if isinstance(content, dict) and isinstance(content.get(key), dict)
        ]
        content = inner[0] if inner else content
    entries = content if isinstance(content, dict) else {}
    others = [str(k)[:40] for k, v in entries.items() if not (isinstance(k, str) and isinstance(v, Tensor))]
    if others or not entries:
        raise CheckpointError(
            f"{path} does not hold a state_dict, neither at the top nor under {', '.join(_CONTAINERS)}: what it holds "
            f"is {', '.join(others[:8]) or f'a {type(content).__name__} without entries'}, not weights alone"
        )
    for name, value in entries.items():
        if value.layout != torch.strided or value.is_meta:
            kind = "without values (on the device meta)" if value.is_meta else "sparse"
            raise CheckpointError(f"{path}: {name} is stored {kind}: save the weights as dense tensors with values")
    return entries


def _is_average(key: object, value: object) -> bool:
    """Whether an entry holds weights averaged over steps, by its name: ``state_dict_ema``, ``ema_state_dict``."""
    return isinstance(value, dict) and "ema" in str(key).lower().split("_")


def _check_archive(path: Path) -> None:
    """Raise before torch unpacks an archive of another kind, or of more bytes than there is memory.

    torch.save itself packs nothing.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names, size = archive.namelist(), sum(entry.file_size for entry in archive.infolist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return  # of torch's older format, or damaged, which torch says
    for name, program in _PROGRAMS.items():
        if any(each.endswith(f"/{name}") for each in names):
            raise CheckpointError(f"{path} is {program}, not a checkpoint: give the weights that it was made from")
    if names and all(each.endswith(".npy") for each in names):
        raise CheckpointError(f"{path} is an archive of NumPy arrays, not a checkpoint: a scan perhaps?")
    try:
        require_memory(size, f"{path}: unpacked", "it is damaged, or made to fill the memory")
    except DataError as error:
        raise CheckpointError(str(error)) from None


def damaged(path: Path, error: Exception) -> CheckpointError:
    """The error for a file that cannot be read: what it is instead, or the reason that ``error`` gives."""
    with contextlib.suppress(OSError):
        with path.open("rb") as stream:
            start = stream.read(200).lstrip().lower()
        for beginning, words in _OTHERS.items():
            if start.startswith(beginning):
                return CheckpointError(f"{path} is {words}")
        if start.startswith(b"{") and b"\0" not in start:  # the length in front of a safetensors header holds zeros
            return CheckpointError(f"{path} is JSON, not the weights: it may list the files that hold them")
    if path.suffix.lower() == ".onnx":
        return CheckpointError(f"{path} is an ONNX program, not a checkpoint: give the weights that it was made from")
    advice = "copy or download it again, or delete it and train again"
    if path.suffix.lower() in _SCANS:
        advice = "if it is a scan, give the checkpoint before it"
    return CheckpointError(
        f"{path} is damaged, truncated, or not a checkpoint ({type(error).__name__}: "
        f"{str(error).strip()[:120]}): {advice}"
    )
