"""Rows of the Waymo parquet components, looked up by their keys and read one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from topokd.checks import require_memory
from topokd.data.dataset import check_rigid
from topokd.datasets.waymo.footer import column_chunks, decoded_size
from topokd.errors import DataError

TOP = 1
"""``key.laser_name`` of the TOP lidar."""
SEGMENT, TIME, LASER = "key.segment_context_name", "key.frame_timestamp_micros", "key.laser_name"


class Component:
    """One component file (one segment). A row is read with its whole row group, and no others.

    Raises:
        DataError: names the file that is missing or not parquet (a pickle, for example: parquet is data, nothing in it
            is executed), and a missing column.
    """

    def __init__(self, file: Path, name: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.file, self.name = file, name
        if not file.is_file():
            raise DataError(
                f"{file} does not exist: component {name} of this segment is missing, others are there; download it"
            )
        try:
            self._parquet, self._chunks = pq.ParquetFile(file), column_chunks(file)
        except (pa.ArrowException, OSError, ValueError) as error:
            head = file.open("rb").read(4)
            reason = "it looks like a pickle, which is not read" if head[:1] == b"\x80" else str(error).splitlines()[0]
            raise DataError(f"{file} is not a parquet file ({reason}): download it again") from None

    @cached_property
    def rows(self) -> dict[int | None, tuple[int, int]]:
        """(row group, row in it) of the TOP lidar by timestamp; under None in components without one."""
        timed, laser = TIME in self._columns, LASER in self._columns
        rows: dict[int | None, tuple[int, int]] = {}
        for group in range(self._parquet.num_row_groups):
            keys = self._read(group, [name for name in (TIME, LASER) if name in self._columns] or [SEGMENT])
            times = keys[TIME].to_pylist() if timed else [None] * keys.num_rows
            lasers = keys[LASER].to_pylist() if laser else [TOP] * keys.num_rows
            rows |= {t: (group, row) for row, (t, name) in enumerate(zip(times, lasers, strict=True)) if name == TOP}
        return rows

    @cached_property
    def _columns(self) -> set[str]:
        return set(self._parquet.schema_arrow.names)

    def _read(self, group: int, columns: list[str]) -> Any:
        import pyarrow as pa

        rows = self._parquet.metadata.row_group(group).num_rows
        chunks = self._chunks[group] if group < len(self._chunks) else {}
        needed = [chunk for path, chunk in chunks.items() if any(path.startswith(name) for name in columns)]
        try:
            size = 8 * rows * len(columns) + sum(decoded_size(self.file, chunk) for chunk in needed)
            require_memory(
                2 * size, f"{self.file}, row group {group}", "the file is damaged, or made to fill the memory"
            )
            return self._parquet.read_row_group(group, columns=columns)
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            reason = str(error).splitlines()[0]
            raise DataError(
                f"{self.file}, row group {group}, column {', '.join(columns)}: {reason}; the file is damaged or uses a "
                "compression that this version of pyarrow does not support: download it again or update pyarrow"
            ) from None

    def get(self, time: int | None, fields: Sequence[str]) -> dict[str, Any]:
        """Values of one row: lists as numpy arrays, other values as plain numbers, None for nulls.

        Raises:
            DataError: the row or a column is missing.
        """
        if time not in self.rows:
            raise DataError(
                f"{self.file} has no row of the TOP lidar at {time}: other components have one, {self.name} does "
                "not; download it again"
            )
        missing = [name for name in fields if name not in self._columns]
        if missing:
            raise DataError(
                f"{self.file} has no column {missing[0]!r}: it is not the component {self.name} of Waymo v2"
            )
        group, row = self.rows[time]
        table = self._read(group, list(fields)).slice(row, 1)
        return {name: _plain(table[name][0]) for name in fields}

    def numbers(self, time: int | None, fields: Sequence[str], count: int) -> list[np.ndarray]:
        """Lists of ``count`` finite numbers of one row; a ``count`` of 0 means a single number.

        Args:
            time: timestamp of the row; None for a component with one row.
            fields: Columns.
            count: numbers in each list.

        Raises:
            DataError: a list is of another length, or holds a number that is not finite.
        """
        values = {name: np.asarray(value) for name, value in self.get(time, fields).items()}
        for name, value in values.items():
            if value.shape != ((count,) if count else ()) or not _finite(value):
                where = f"{self.file}, {name}{'' if time is None else f' at {time}'}"
                raise DataError(f"{where}: {count or 'a'} finite number{'s' * (count > 0)} expected; download it again")
        return list(values.values())

    def transform(self, time: int | None, field: str) -> Float[np.ndarray, "4 4"]:
        """A rigid transform of one row.

        Args:
            time: timestamp of the row; None for a component with one row.
            field: column of its 16 numbers, row by row.

        Raises:
            DataError: it is not a finite rotation and translation.
        """
        (values,) = self.numbers(time, [field], 16)
        return check_rigid(values.reshape(4, 4), f"{self.file}, {field}{'' if time is None else f' at {time}'}")

    def images(self, time: int, columns: Sequence[str], channels: int, dtype: type) -> list[np.ndarray | None]:
        """Range images (H, W, channels) of one row, decoded together; None for a missing return.

        Args:
            time: timestamp of the row.
            columns: one for each return.
            channels: numbers per pixel.
            dtype: number type of the images.
        """
        row = self.get(time, [f"{column}.{part}" for column in columns for part in ("values", "shape")])
        return [
            self._image(column, time, row[f"{column}.values"], row[f"{column}.shape"], channels, dtype)
            for column in columns
        ]

    def _image(self, column: str, time: int, values: Any, shape: Any, channels: int, dtype: type) -> np.ndarray | None:
        if values is None or shape is None:
            return None
        values, shape = np.asarray(values), np.asarray(shape)
        valid = shape.shape == (3,) and shape.dtype.kind in "iu" and shape[2] == channels and bool((shape > 0).all())
        if not valid or values.shape != (int(np.prod(shape, dtype=np.int64)),):
            raise DataError(
                f"{self.file}, {column} at {time}: {values.size} values do not fill the shape {shape.tolist()} "
                f"(rows, columns, {channels}): the range image is truncated or of another version; download it again"
            )
        if values.dtype.kind not in ("iu" if np.issubdtype(dtype, np.integer) else "iuf"):
            raise DataError(
                f"{self.file}, {column} at {time}: values are {values.dtype}, or some are missing; {np.dtype(dtype)} "
                "is needed: download it again"
            )
        return values.reshape(shape).astype(dtype, copy=False)


def _finite(values: np.ndarray) -> bool:
    return values.dtype.kind in "iuf" and bool(np.isfinite(values).all())


def _plain(scalar: Any) -> Any:
    if not scalar.is_valid:
        return None
    values = getattr(scalar, "values", None)  # a list
    return scalar.as_py() if values is None else values.to_numpy(zero_copy_only=False)
