"""Formats that describe themselves, through their own libraries: .ply, .las and .laz."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from topokd.checks import require_memory
from topokd.data.formats.table import (
    CLOUD_NAMES,
    Note,
    PointTable,
    plain_name,
    plain_number_words,
    separate_axes,
    surplus_note,
    table_of,
)
from topokd.errors import DataError

LEAST_CHUNK = 20
"""Bytes: a chunk of .laz begins with a whole point."""
_LONGEST_HEADER = 1 << 20
_LAST_LAYOUT = 10
"""Of the point formats of LAS 1.4."""
_NOISE = (7, 18)
"""Classes of LAS for low and high noise: birds, rain, multipath."""
LARGEST_CHUNK = 1 << 29
"""Bytes of points; writers put 50,000 points (2 MB) into a chunk."""


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DataError(f"reading this format needs the package {name}: pip install 'topokd[data]'") from None


def read_ply(path: Path) -> PointTable:
    """Read the element `vertex` of a .ply file, ascii or binary.

    Raises:
        DataError: the element does not exist, or lacks x, y or z.
    """
    library = _library("plyfile")
    with _plain_header(path) or path.open("rb") as stream:
        try:
            data = library.PlyData.read(stream)
        except library.PlyElementParseError as error:
            header, _, body = path.read_bytes().partition(b"end_header")
            if not re.search(rb"format[ \t]+ascii", header) or b"," not in body:
                raise
            raise DataError(
                f"{path}: its points are written with commas, between the values or in place of the decimal point: "
                ".ply has spaces and points; export it again, in binary if there is the choice"
            ) from error
        rest = 0 if data.text else len(stream.read())
    points = next((element for element in data.elements if element.name.lower() in ("vertex", "point")), None)
    if points is None:
        names = [element.name[:40] for element in data.elements[:5]]
        more = f", ... ({len(data.elements)})" * (len(data.elements) > len(names))
        raise DataError(f"{path} has no element `vertex`, only {', '.join(names) or 'none'}{more}")
    vertex = points.data
    fields = {name: values for name in vertex.dtype.names or () if (values := _values(vertex[name], name)) is not None}
    fields = separate_axes(fields)
    table = table_of(path, fields, fields.__getitem__)
    if data.text:
        lines = path.read_bytes().partition(b"end_header")[2].splitlines()
        surplus = sum(bool(line.strip()) for line in lines) - sum(element.count for element in data.elements)
    else:
        surplus = rest // vertex.dtype.itemsize
    if surplus > 0:
        table.notes.append(surplus_note(len(table.xyz), surplus, "is `element vertex` right?"))
    return table


def _values(column: np.ndarray, name: str) -> np.ndarray | None:
    """A property of .ply: (n,), or (n, 3) for lists of three coordinates; None for other lists."""
    if column.dtype.kind != "O":
        return column
    if plain_name(name) not in CLOUD_NAMES or {len(values) for values in column} != {3}:
        return None
    return np.stack(list(column))


def _plain_header(path: Path) -> io.BytesIO | None:
    """The file with a header that plyfile can read, if its own is not ASCII with plain line ends.

    Comments may hold any letters, and editors put a byte order mark before them, change line ends, or leave spaces.
    """
    with path.open("rb") as stream:
        start = stream.read(_LONGEST_HEADER)
    end = re.search(rb"end_header[ \t]*\r?\n", start)
    if end is None:
        if len(start) == _LONGEST_HEADER:  # plyfile would read lines for minutes
            raise DataError(f"{path} cannot be read as .ply: its header does not end within a megabyte; it is damaged")
        return None
    header = start[: end.end()]
    lines = re.sub(rb"[ \t]+\n", b"\n", header.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n"))
    if re.search(rb"format[ \t]+ascii", lines) and b"#" in (body := path.read_bytes()[end.end() :]):
        return io.BytesIO(lines.decode("ascii", "replace").replace("\ufffd", "?").encode() + plain_number_words(body))
    if header.isascii() and lines == header:
        return None
    plain = lines.decode("ascii", "replace").replace("\ufffd", "?").encode()
    return io.BytesIO(plain + path.read_bytes()[end.end() :])


def _check_las_header(path: Path) -> int:
    """Compare the counts of a LAS header with the size of the file; laspy trusts them, and loops for hours.

    Returns:
        How many more points there is room for than the header counts; 0 if they are compressed.

    Raises:
        DataError: the header is too short, of another version, or counts more than there is.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(375)
    if len(head) < 227 or head[:4] != b"LASF":
        kind = path.suffix if path.suffix.lower() == ".laz" else ".las"
        raise DataError(f"{path} cannot be read as {kind}: it has no LAS header; it is damaged or another format")
    version, minor = (head[24], head[25]), head[25]
    if not (1, 0) <= version <= (1, 4):
        raise DataError(
            f"{path} says that it is LAS {version[0]}.{version[1]}; 1.0 to 1.4 can be read: convert it (PDAL, "
            "las2las), or it is damaged"
        )
    header, points, records = struct.unpack_from("<HII", head, 94)
    layout, length, count = struct.unpack_from("<BHI", head, 104)
    extended = first_extended = waveforms = 0
    scales = struct.unpack_from("<6d", head, 131)
    if layout & 0x3F > _LAST_LAYOUT:
        raise DataError(f"{path} has the point format {layout & 0x3F}; known are 0 to {_LAST_LAYOUT}: it is damaged")
    if not (np.isfinite(scales).all() and min(scales[:3]) > 0):
        raise DataError(
            f"{path}: its header has the scales {scales[:3]} and offsets {scales[3:]} of x, y, z: it is "
            "damaged; copy it again"
        )
    if minor >= 4 and len(head) >= 375:
        waveforms, first_extended, extended, count = struct.unpack_from("<QQIQ", head, 227)
    compressed = bool(layout & 0x80)
    if (
        not 227 <= header <= points <= size
        or header + 54 * records > points
        or (extended and first_extended + 60 * extended > size)
        or (not compressed and points + length * count > size)
    ):
        raise DataError(
            f"{path} has {size:,} bytes, fewer than its header counts ({count:,} points, {records:,} records before "
            "them): it is truncated or damaged; copy it again"
        )
    if compressed and not _chunks_fit(path, points, size):
        raise DataError(f"{path}: its table of compressed chunks is damaged: copy it again")
    require_memory(4 * length * count, f"{path}: {count:,} points", "read a part of it, or it is damaged")
    end = min([size, *(place for place in (waveforms, first_extended) if place > points)])
    return 0 if compressed or not length else (end - points) // length - count


def _chunks_fit(path: Path, points: int, size: int) -> bool:
    """Whether a .laz file has room for the chunks that it counts; lazrs allocates for all, and aborts the process."""
    with path.open("rb") as stream:
        stream.seek(points)
        place = stream.read(8)
        if len(place) == 8 and place == b"\xff" * 8:  # a writer that could not go back: the place is at the end
            stream.seek(size - 8)
            place = stream.read(8)
        if len(place) < 8:
            return False
        (table,) = struct.unpack("<q", place)
        if not points + 8 <= table <= size - 8:
            return False
        stream.seek(table)
        _, chunks = struct.unpack("<II", stream.read(8))
    return LEAST_CHUNK * chunks <= size


def _check_chunk_sizes(path: Path, laspy: Any) -> None:
    """Check the chunk sizes of a .laz file against its size: lazrs allocates them unchecked, or aborts.

    Raises:
        DataError: the chunks are larger than the file, or hold far more points than it.
    """
    with laspy.open(path) as reader:
        records, points = reader.header.vlrs.get("LasZipVlr"), reader.header.offset_to_point_data
        unpacked = reader.header.point_count * reader.header.point_format.size
    if not records:
        return  # stored as it is
    lazrs, size = _library("lazrs"), path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(points)
        layout = lazrs.LazVlr(records[0].record_data)
        chunks = lazrs.read_chunk_table(stream, layout)
    largest = layout.item_size() * max((points for points, _ in chunks), default=0)
    if sum(packed for _, packed in chunks) > size or largest > max(LARGEST_CHUNK, 4 * unpacked):
        raise DataError(f"{path}: its table of compressed chunks is damaged: copy it again")


@contextlib.contextmanager
def _panics(path: Path) -> Iterator[None]:
    """Turn a panic of lazrs, which is a BaseException, into an error about the file."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise DataError(f"{path} cannot be unpacked ({error}): it is damaged; copy it again") from error


def read_las(path: Path) -> PointTable:
    """Read .las or .laz of any point format, with its extra dimensions.

    Raises:
        DataError: it holds fewer points than its header says.
    """
    laspy = _library("laspy")
    surplus = _check_las_header(path)
    with _panics(path):
        _check_chunk_sizes(path, laspy)
        las = laspy.read(str(path))
    if len(las.points) != las.header.point_count:
        raise DataError(
            f"{path} holds {len(las.points)} points, but its header says {las.header.point_count}: it is truncated; "
            "copy it again"
        )
    noise = np.isin(np.asarray(las.classification), _NOISE)
    withheld = np.asarray(las.withheld).astype(bool)
    extra = {str(name): np.asarray(las[name]) for name in las.point_format.extra_dimension_names}
    fields = {
        "x": np.asarray(las.x),
        "y": np.asarray(las.y),
        "z": np.asarray(las.z),
        "intensity": np.asarray(las.intensity),
    }
    table = table_of(
        path, [*fields, *(n for n in extra if n.lower() not in fields)], lambda name: (fields | extra)[name]
    )
    dimensions = [las.point_format.dimension_by_name(name) for name in extra]
    table.decibels = tuple(plain_name(d.name) for d in dimensions if re.search(r"\bdB\b", d.description))
    if surplus > 0:
        table.notes.append(surplus_note(len(table.xyz), surplus, "is its number of point records right?"))
    for name, marked in (("withheld", withheld), ("noise", noise & ~withheld)):
        if marked.any():
            table.notes.append(
                Note(
                    f"{name} points",
                    f"{marked.sum()} of {len(marked)} points are marked as {name} and get no class",
                )
            )
    table.withheld = withheld | noise if (withheld | noise).any() else None
    return table
