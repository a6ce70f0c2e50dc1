"""On-disk cache of decoded scans and their voxels.

The key of an entry covers the content of the scan's files, the reader with its parameters, the voxel size, and the code
of all readers (`code_version`). A change of any of them changes the key, so entries never go stale. Only results before
augmentation are cached; the voxels of training samples are computed again each time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from topokd.data.scan import Scan
from topokd.data.voxels import Voxels, voxelize
from topokd.errors import DataError
from topokd.io import atomic_path, sha256, source_digest

log = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]
READING = ("compiled", "data", "datasets", "label_maps")
"""Packages that read scans and make voxels of them."""


class ScanCache:
    """``<folder>/<code>/<ab>/<key>.safetensors``: one entry per scan, and one per scan and voxel size.

    Entries are memory-mapped for reading and written atomically (a temporary file is renamed at the end), so any number
    of processes may share a folder: two that make the same entry write the same bytes. An entry with a wrong checksum
    is logged and made again. If the folder is not writable, the cache is used read-only.

    The content of a file is identified by its SHA-256, computed once and recorded in ``<folder>/contents`` under its
    path, size and modification time. A change that keeps both the size and the time goes unnoticed.

    Args:
        folder: the folder of the cache; created on the first write.

    Raises:
        DataError: ``folder`` is a file.

    Examples:
        >>> import tempfile
        >>> from topokd.datasets import SemanticKITTI
        >>> from topokd.datasets.semantickitti.files import write_scan
        >>> root = tempfile.mkdtemp()
        >>> write_scan(root, 8, 0, Scan(np.ones((5, 3)), np.zeros(5), np.full(5, 8)))
        >>> dataset = SemanticKITTI(root, "val").stored_in(ScanCache(root + "/cache"))
        >>> len(dataset[0]), len(dataset.voxels(0, 0.1)), dataset.store.size()[0]
        (5, 1, 2)
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise DataError(f"{self.folder} is a file: train.cache names the folder of the cache; choose another")
        self._contents = _Contents(self.folder / "contents")
        self._writable = True

    def scan(self, name: str, recipe: dict[str, Any], sources: Sequence[Path], read: Callable[[], Scan]) -> Scan:
        """The scan from the cache, or from ``read`` if there is no entry.

        Args:
            name: name of the scan.
            recipe: how the scan is read, as JSON-able values.
            sources: the files that it is read from.
            read: reads the scan.
        """

        def arrays() -> Arrays:
            scan = read()
            given = {"xyz": scan.xyz, "intensity": scan.intensity, "label": scan.label, "instance": scan.instance}
            return {field: array for field, array in given.items() if array is not None}

        return Scan(**_int64(self._entry(self._key(name, recipe, sources), arrays)), name=name)

    def voxels(
        self, name: str, recipe: dict[str, Any], sources: Sequence[Path], voxel_size: float, read: Callable[[], Scan]
    ) -> Voxels:
        """``voxelize(read(), voxel_size)``, bit for bit; arguments as in `scan`.

        Args:
            name: name of the scan.
            recipe: everything that the reader's result depends on besides the files.
            sources: files that it is read from.
            voxel_size: Metres.
            read: reads the scan if it is not stored yet.
        """

        def arrays() -> Arrays:
            voxels = voxelize(read(), voxel_size)
            given = {"feat": voxels.feat, "grid": voxels.grid_coord, "label": voxels.label, "inverse": voxels.inverse}
            return {field: array for field, array in given.items() if array is not None}

        entry = _int64(self._entry(self._key(name, recipe | {"voxel_size": voxel_size}, sources), arrays))
        feat = entry["feat"]
        return Voxels(feat[:, :3].copy(), entry["grid"], feat, entry.get("label"), entry["inverse"], name)

    def size(self) -> tuple[int, int]:
        """Number of entries and of bytes, over all versions of the code."""
        sizes = [file.stat().st_size for file in self.folder.glob("*/??/[!.]*.safetensors")]
        return len(sizes), sum(sizes)

    def _key(self, name: str, recipe: dict[str, Any], sources: Sequence[Path]) -> str:
        content = [self._contents.of(file) for file in sources]
        return hashlib.sha256(json.dumps([name, recipe, content], sort_keys=True).encode()).hexdigest()

    def _entry(self, key: str, make: Callable[[], Arrays]) -> Arrays:
        file = self.folder / code_version() / key[:2] / f"{key}.safetensors"
        try:
            return load_entry(file, key)
        except FileNotFoundError:
            pass
        except (SafetensorError, OSError, ValueError) as error:
            log.warning("%s is damaged (%s): made again", file, error)
        arrays = make()
        if self._writable:
            try:
                save_entry(file, key, arrays)
            except OSError as error:
                log.warning("%s cannot be written (%s): no more is added to the cache", file, error)
                self._writable = False
        return arrays


class _Contents:
    """SHA-256 of files, recorded in a file that every process appends lines to.

    Lines corrupted by concurrent writes fail their checksum and are ignored; the file they describe is hashed again.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.known: dict[str, str] = {}
        self._seen = 0  # bytes of the file read so far

    def of(self, file: Path) -> str:
        try:
            status = file.stat()
        except FileNotFoundError:
            return "missing"  # the reader decides whether this is a gap of a subset or an error
        described = f"{file.absolute()}:{status.st_size}:{status.st_mtime_ns}"
        identity = hashlib.sha256(described.encode()).hexdigest()[:32]
        if identity not in self.known:
            self._read_on()
        if identity not in self.known:
            self.known[identity] = digest = sha256(file)
            self._remember(f"{identity} {digest} {_check(identity + digest)}\n")
        return self.known[identity]

    def _read_on(self) -> None:
        """Read the lines that any process has added since the last call."""
        if not self.file.is_file():
            return
        with self.file.open("rb") as stream:
            stream.seek(self._seen)
            whole = stream.read().rpartition(b"\n")[0]
        self._seen += len(whole) + bool(whole)
        for line in whole.decode("ascii", "replace").split("\n"):
            fields = line.split(" ")
            if len(fields) == 3 and fields[2] == _check(fields[0] + fields[1]):
                self.known[fields[0]] = fields[1]

    def _remember(self, line: str) -> None:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(handle, line.encode())
            finally:
                os.close(handle)
        except OSError as error:  # read-only folder or full disk: the file is hashed again next time
            log.debug("%s: %s", self.file, error)


def code_version() -> str:
    """Twelve digits of a digest over the sources of readers and voxels, since any of them may change the results."""
    return source_digest(*READING)[:12]


def save_entry(file: Path, key: str, arrays: Arrays) -> None:
    """Write an entry, each integer array in the smallest type that fits."""
    kept = {name: np.ascontiguousarray(_narrowed(array)) for name, array in arrays.items()}
    with atomic_path(file) as temporary:
        save_file(kept, temporary, {"checksum": _checksum(key, kept)})


def load_entry(file: Path, key: str) -> Arrays:
    """The arrays of an entry; raises ValueError or SafetensorError if the file is damaged or has another key."""
    with safe_open(file, "np") as entry:
        arrays = {name: entry.get_tensor(name) for name in entry.keys()}  # noqa: SIM118 (no iterator)
        if (entry.metadata() or {}).get("checksum") != _checksum(key, arrays):
            raise ValueError("wrong checksum")
    return arrays


def _checksum(key: str, arrays: Arrays) -> str:
    total = zlib.crc32(key.encode())
    for name, array in sorted(arrays.items()):
        total = zlib.crc32(array.data, zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), total))
    return f"{total:08x}"


def _narrowed(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "i":
        return array
    low, high = int(array.min()), int(array.max())
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return array.astype(kind)
    return array


def _int64(arrays: Arrays) -> dict[str, Any]:
    return {name: array.astype(np.int64) if array.dtype.kind == "i" else array for name, array in arrays.items()}


def _check(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
