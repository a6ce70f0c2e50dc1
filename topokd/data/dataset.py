"""Base class of all readers: scan names, in-memory cache of the last scans, handling of bad scans."""

from __future__ import annotations

import dataclasses
import logging
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from topokd import choices
from topokd.data.cache import ScanCache
from topokd.data.label_space import LabelSpace
from topokd.data.scan import IGNORE, Scan
from topokd.data.voxels import Voxels, voxelize
from topokd.errors import DataError, ParameterError
from topokd.options import whole

if TYPE_CHECKING:
    from typing import Self

log = logging.getLogger(__name__)

OnBadScan = choices.OnBadScan | Literal["keep"]
"""Handling of damaged scans by a reader (`ScanDataset._index`); "keep" is for the check of a data set."""


class ScanDataset(ABC):
    """The scans of a split, read when they are indexed, and cached in memory or on disk (`stored_in`).

    Attributes:
        names: one per scan.
        class_names, num_classes, palette: of the benchmark.
        labelled: whether the split has ground truth.
        sequences: names of the sequences, scenes or segments that the scans come from.
        skipped: (name, reason) of each scan that ``on_bad_scan="skip"`` left out.
    """

    recipe_fields: ClassVar[tuple[str, ...]] = ("labelled",)
    """Attributes that a scan depends on besides the content of its files; JSON-able, they enter the cache's keys."""
    labels: ClassVar[LabelSpace]
    class_names: ClassVar[tuple[str, ...]]
    num_classes: ClassVar[int]
    palette: ClassVar[tuple[tuple[int, int, int], ...]]
    root: Path
    labelled: bool
    sequences: list[str]
    store: ScanCache | None = None
    intensity: bool = True
    """Whether scans keep their intensities; otherwise they are 0, for networks that are to suit any sensor."""
    columns: ClassVar[int]
    """float32 values per point, for readers of files with one row per point."""

    def _index(self, names: Iterable[str], on_bad_scan: OnBadScan, cache: int, description: str) -> None:
        """Check every scan and keep the names of the good ones.

        Args:
            names: all scans of the split.
            on_bad_scan: "raise" calls `_check` on each (cheap: sizes only); "skip" reads each once, leaves bad
                ones out and logs them; "keep" checks nothing, so a bad scan raises an error when it is read.
            cache: how many scans to keep in memory.
            description: where the scans are, for the error message.

        Raises:
            DataError: a bad scan with "raise", or no usable scan at all.
        """
        self.names: list[str] = []
        self.skipped: list[tuple[str, str]] = []
        self._cache: OrderedDict[str, Scan] = OrderedDict()
        self._cache_size = cache
        for name in names:
            try:
                if on_bad_scan == "skip":
                    self._read(name)
                elif on_bad_scan == "raise":
                    self._check(name)
            except DataError as error:
                if on_bad_scan != "skip":
                    raise
                log.warning("skipped scan %s: %s", name, error)
                self.skipped.append((name, str(error)))
            else:
                self.names.append(name)
        if not self.names:
            raise DataError(
                f"{self.root}: {description} hold no usable scan"
                + (f" ({len(self.skipped)} skipped, the first: {self.skipped[0][1]})" if self.skipped else "")
            )

    @abstractmethod
    def files(self, name: str) -> tuple[Path | None, ...]:
        """Paths that a scan is read from, points first; None for files that the split does not have."""

    def source_files(self, name: str) -> list[Path]:
        """Every file that a scan depends on: `files`, and those that accumulation or tables add."""
        return [file for file in self.files(name) if file is not None]

    @abstractmethod
    def _read(self, name: str) -> Scan:
        """One scan from its files."""

    @abstractmethod
    def _check(self, name: str) -> None:
        """Check a scan's files without reading them."""

    def __len__(self) -> int:
        return len(self.names)

    def stored_in(self, store: ScanCache | None) -> Self:
        """This dataset; its scans and voxels are cached in ``store`` from now on instead of in memory.

        Scans in memory belong to one process; pages of files on disk are shared by all processes.
        """
        self.store = store
        if store is not None:
            self._cache.clear()
            self._cache_size = 0
        return self

    def __getitem__(self, index: int) -> Scan:
        name = self.names[index]
        if self.store is not None:
            return self.store.scan(name, self._recipe(), self.source_files(name), lambda: self._load(name))
        if name in self._cache:
            self._cache.move_to_end(name)
            return self._cache[name]
        scan = self._cache[name] = self._load(name)
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
        return scan

    def _load(self, name: str) -> Scan:
        scan = self._read(name)
        return scan if self.intensity else dataclasses.replace(scan, intensity=np.zeros_like(scan.intensity))

    def voxels(self, index: int, voxel_size: float) -> Voxels:
        """The voxels of a scan, from the store if there is one; bit-identical to ``voxelize(self[index], voxel_size)``.

        Args:
            index: number of the scan.
            voxel_size: edge of a voxel in metres.

        Raises:
            DataError: the scan is missing or damaged.
        """
        if self.store is None:
            return voxelize(self[index], voxel_size)
        name = self.names[index]
        return self.store.voxels(name, self._recipe(), self.source_files(name), voxel_size, lambda: self[index])

    def _recipe(self) -> dict[str, Any]:
        """How a scan is read from its files."""
        return {"reader": type(self).__qualname__} | {
            name: np.asarray(value).tolist() if (value := getattr(self, name)) is not None else None
            for name in (*self.recipe_fields, *(() if self.intensity else ("intensity",)))
        }

    def __iter__(self) -> Iterator[Scan]:
        return (self[index] for index in range(len(self)))


def check_sweeps(sweeps: int) -> int:
    """``sweeps`` itself.

    Raises:
        DataError: it is not a whole number from 1 to 1,000.
    """
    try:
        return whole(sweeps, "sweeps", most=1000)
    except ParameterError as error:
        raise DataError(f"{error}; 1 reads a scan alone, k adds the k - 1 before it") from None


def count_points(file: Path, columns: int) -> int:
    """Number of points in a binary file, from its size.

    Args:
        file: the file.
        columns: number of float32 values per point.

    Raises:
        DataError: the file is missing, empty, or cut off within a point.
    """
    if not file.is_file():
        raise DataError(f"{file} does not exist: copy or unpack it again, or set data.on_bad_scan of a profile to skip")
    size = file.stat().st_size
    if size == 0:
        raise DataError(
            f"{file} is empty, but a scan has points: restore it, or set data.on_bad_scan of a profile to skip"
        )
    if size % (4 * columns):
        raise DataError(
            f"{file} has {size} bytes, not a multiple of {4 * columns} ({columns} float32 per point): the file is "
            "truncated; copy it again, or set data.on_bad_scan of a profile to skip"
        )
    return size // (4 * columns)


def read_rigid(text: str, where: str) -> Float[np.ndarray, "4 4"]:
    """A rigid transformation from the 12 numbers of its first three rows, as KITTI's files have it.

    Args:
        text: the numbers.
        where: file and line, for the error message.

    Raises:
        DataError: it is not 12 numbers, or not rigid.
    """
    try:
        values = np.array(text.split(), np.float64)
    except ValueError as error:
        raise DataError(f"{where}: {error}; copy the file again") from None
    if values.size != 12:
        raise DataError(f"{where} has {values.size} numbers, 12 are expected (3 x 4): copy the file again")
    return check_rigid(np.vstack((values.reshape(3, 4), [0.0, 0.0, 0.0, 1.0])), where)


def check_rigid(matrix: Float[np.ndarray, "4 4"], where: str) -> Float[np.ndarray, "4 4"]:
    """Return ``matrix`` if it is a rotation and a translation.

    Args:
        matrix: (4, 4) homogeneous transformation.
        where: file and field, for the error message.

    Raises:
        DataError: the matrix is not finite, not rigid, or a reflection.
    """
    turn = matrix[:3, :3]
    if not (
        np.isfinite(matrix).all()
        and np.allclose(turn @ turn.T, np.eye(3), atol=0.01)
        and np.linalg.det(turn) > 0
        and np.allclose(matrix[3], [0, 0, 0, 1])
    ):
        raise DataError(f"{where} is not a rotation and translation: the file is damaged; download it again")
    return matrix


def accumulate_sweeps(
    scans: list[Scan],
    transforms: list[Float[np.ndarray, "4 4"]],
    name: str,
    *,
    labelled_rows: Literal["first", "all"] = "all",
) -> Scan:
    """Concatenate several scans in the frame of the first.

    Args:
        scans: the first one's points come first, unchanged.
        transforms: ``transforms[i]`` (4, 4) takes the points of scan i into that frame.
        name: name of the result.
        labelled_rows: "first" marks the points of all other scans as ignored.
    """
    moved = [scans[0].xyz]
    for scan, matrix in zip(scans[1:], transforms[1:], strict=True):
        moved.append((scan.xyz.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32))

    def joined(field: str, empty: int) -> np.ndarray | None:
        if getattr(scans[0], field) is None:
            return None
        values = [getattr(scans[0], field)]
        for scan in scans[1:]:
            value = getattr(scan, field)
            values.append(np.full(len(scan), empty) if value is None or labelled_rows == "first" else value)
        return np.concatenate(values)

    intensity = np.concatenate([scan.intensity for scan in scans])
    return Scan(np.concatenate(moved), intensity, joined("label", IGNORE), joined("instance", 0), name)
