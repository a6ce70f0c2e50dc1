"""Files of the Point Cloud Library: .pcd, ascii, binary and binary_compressed, whatever parts its header has."""

from __future__ import annotations

import importlib
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray

from topokd.checks import require_memory
from topokd.data.formats.table import Note, PointTable, plain_number_words, separate_axes, surplus_note, table_of
from topokd.errors import DataError

LZF_RATIO = 132
"""No 3 bytes of LZF unpack to more than 264, no 2 to more than 8."""
_MOST_LINES = 200
_KINDS = {"F": (4, 8), "U": (1, 2, 4, 8), "I": (1, 2, 4, 8)}
_PADDING = "_"


@dataclass(frozen=True)
class _Header:
    """What the header of a .pcd file says.

    Attributes:
        fields: names; `_` is padding.
        dtypes: number type of each.
        counts: values per point of each.
        points: their number.
        encoding: encoding of the body.
        viewpoint: position and orientation (w, x, y, z) of the sensor.
        size: bytes of the header.
        grid: WIDTH and HEIGHT; empty if the header has not both.
    """

    fields: tuple[str, ...]
    dtypes: tuple[np.dtype, ...]
    counts: tuple[int, ...]
    points: int
    encoding: str
    viewpoint: tuple[float, ...]
    size: int
    grid: tuple[int, ...] = ()

    @property
    def row(self) -> int:
        """Bytes of a point."""
        return sum(dtype.itemsize * count for dtype, count in zip(self.dtypes, self.counts, strict=True))


def read_pcd(path: Path) -> PointTable:
    """Read a .pcd file, organised or not.

    Args:
        path: the file. VERSION, COUNT, VIEWPOINT, and one of POINTS and WIDTH with HEIGHT, may be absent; x, y and z
            may be one field `xyz` with a COUNT of 3.

    Raises:
        DataError: the header is damaged, the file holds fewer points than it says, or x, y or z is missing.
    """
    header = _read_header(path)
    columns = _READERS[header.encoding](path, header) if header.points else [np.empty((0, c)) for c in header.counts]
    fields: dict[str, ndarray] = {}
    for name, values in zip(header.fields, columns, strict=True):
        if name != _PADDING:
            fields.setdefault(name, values)
    fields = separate_axes(fields)
    table = table_of(path, fields, fields.__getitem__)
    _note_surplus(path, header, table)
    if header.grid and header.grid[0] * header.grid[1] != header.points:
        table.notes.append(
            Note(
                "POINTS is not WIDTH x HEIGHT",
                f"its header has WIDTH {header.grid[0]} and HEIGHT {header.grid[1]}, but POINTS {header.points}: the "
                "latter is used",
            )
        )
    if any(abs(value) > 1 for value in header.viewpoint[:3]):
        origin = ",".join(f"{value:g}" for value in header.viewpoint[:3])
        table.notes.append(
            Note(
                "VIEWPOINT away from the origin",
                f"its header places the sensor at ({origin}): if coordinates are those of the map, give --origin "
                f"{origin}",
            )
        )
    if len(header.viewpoint) == 7 and abs(header.viewpoint[3]) < 0.99:
        turn = " ".join(f"{value:g}" for value in header.viewpoint[3:])
        table.notes.append(
            Note(
                "VIEWPOINT turned",
                f"its header turns the sensor by the quaternion {turn}: if x does not point forward, give --frame",
            )
        )
    return table


def _read_header(path: Path) -> _Header:
    """The header, checked against the size of the file before its counts are allocated.

    Raises:
        DataError: the header is missing or unreadable, or states more points than the file holds.
    """
    lines: dict[str, list[str]] = {}
    with path.open("rb") as stream:
        for _ in range(_MOST_LINES):
            line = stream.readline(1 << 16)
            words = line.decode("latin-1").split()
            if not line:
                break
            if words and not words[0].startswith("#"):
                lines[words[0].upper()] = words[1:]
            if words and words[0].upper() == "DATA":
                break
        size, lengths = stream.tell(), stream.read(8)
    lines.setdefault("FIELDS", lines.get("COLUMNS", []))  # its name in the first versions
    missing = [name for name in ("FIELDS", "SIZE", "TYPE", "DATA") if not lines.get(name)]
    if missing or not (lines.get("POINTS") or (lines.get("WIDTH") and lines.get("HEIGHT"))):
        raise DataError(
            f"{path} cannot be read as .pcd: its header has no {(*missing, 'POINTS')[0]}; it is damaged, or of another "
            "format"
        )
    fields, kinds, sizes = lines["FIELDS"], lines["TYPE"], _whole(path, "SIZE", lines["SIZE"])
    counts = _whole(path, "COUNT", lines.get("COUNT") or ["1"] * len(fields))
    if not len(fields) == len(kinds) == len(sizes) == len(counts):
        raise DataError(
            f"{path} cannot be read as .pcd: its header has {len(fields)} FIELDS, but {len(kinds)} of TYPE, "
            f"{len(sizes)} of SIZE and {len(counts)} of COUNT; it is damaged"
        )
    for name, kind, width in zip(fields, kinds, sizes, strict=True):
        if width not in _KINDS.get(kind.upper(), ()):
            raise DataError(f"{path} cannot be read as .pcd: the field {name} has the TYPE {kind} and the SIZE {width}")
    encoding = lines["DATA"][0].lower()
    if encoding not in _READERS:
        raise DataError(f"{path} cannot be read as .pcd: DATA is {encoding!r}; known are {', '.join(_READERS)}")
    known = lines.get("WIDTH") and lines.get("HEIGHT")
    grid = tuple(_whole(path, name, lines[name])[0] for name in ("WIDTH", "HEIGHT")) if known else ()
    if lines.get("POINTS"):
        (points, *_) = _whole(path, "POINTS", lines["POINTS"])
    else:
        points = grid[0] * grid[1]
    dtypes = tuple(np.dtype(f"<{kind.lower()}{width}") for kind, width in zip(kinds, sizes, strict=True))
    header = _Header(tuple(fields), dtypes, tuple(counts), points, encoding, _viewpoint(lines), size, grid)
    _check_size(path, header, lengths)
    return header


def _note_surplus(path: Path, header: _Header, table: PointTable) -> None:
    """Note a body that holds at least one point more than the header counts."""
    room = path.stat().st_size - header.size
    surplus = (room - header.points * header.row) // header.row if header.encoding == "binary" else 0
    if header.encoding == "ascii":
        lines = [line for line in _body(path, header).splitlines() if line.partition(b"#")[0].strip()]
        surplus = len(lines) - header.points
    if surplus > 0:
        table.notes.append(surplus_note(header.points, surplus, "is POINTS right?"))


def _whole(path: Path, name: str, words: list[str]) -> list[int]:
    """Whole numbers of a line, from 0."""
    if not all(word.isascii() and word.isdigit() and len(word) <= 18 for word in words):
        raise DataError(
            f"{path} cannot be read as .pcd: its header has {name} {' '.join(words)[:60]}, not whole numbers; it is "
            "damaged"
        )
    return [int(word) for word in words]


def _viewpoint(lines: dict[str, list[str]]) -> tuple[float, ...]:
    """Position and orientation of the sensor; nothing if the line is absent or damaged, as it is only a hint."""
    try:
        position = tuple(float(word) for word in lines.get("VIEWPOINT", ())[:7])
    except ValueError:
        return ()
    return position if np.isfinite(position).all() else ()


def _check_size(path: Path, header: _Header, lengths: bytes) -> None:
    room, body = path.stat().st_size - header.size, header.points * header.row
    least = body
    if header.encoding == "ascii":
        least = header.points * 2 * sum(header.counts) - 1
    elif header.encoding == "binary_compressed":
        packed, unpacked = struct.unpack("<II", lengths.ljust(8, b"\0"))
        fits = len(lengths) == 8 and unpacked == body and unpacked <= LZF_RATIO * packed
        least = 8 + packed if fits else room + 1
    if header.row < 1 or least > room:
        raise DataError(
            f"{path} has {room:,} bytes after its header, too few for the {header.points:,} points that it counts: it "
            "is truncated or damaged; copy it again"
        )
    require_memory(4 * body, f"{path}: {header.points:,} points", "read a part of it, or it is damaged")


def _body(path: Path, header: _Header) -> bytes:
    with path.open("rb") as stream:
        stream.seek(header.size)
        return stream.read()


def _ascii(path: Path, header: _Header) -> list[ndarray]:
    width = sum(header.counts)
    body = plain_number_words(_body(path, header))
    lines = [line for line in body.splitlines() if line.partition(b"#")[0].strip()]
    try:
        values = np.loadtxt(lines[: header.points], np.float64, ndmin=2)
    except ValueError as error:
        if b"," not in lines[0]:
            raise
        raise DataError(
            f"{path}: its points are written with commas, between the values or in place of the decimal point: .pcd "
            "has spaces and points; export it again, in binary if there is the choice"
        ) from error
    if values.shape != (header.points, width):
        raise DataError(
            f"{path} holds {len(values)} points of {values.shape[1]} values, but its header says POINTS "
            f"{header.points} of {width}: it is truncated or damaged; copy it again"
        )
    ends = np.cumsum(header.counts)
    return [values[:, end - count : end] for end, count in zip(ends, header.counts, strict=True)]


def _binary(path: Path, header: _Header) -> list[ndarray]:
    layout = [
        (str(k), dtype, (count,)) for k, (dtype, count) in enumerate(zip(header.dtypes, header.counts, strict=True))
    ]
    points = np.frombuffer(_body(path, header), np.dtype(layout), header.points)
    return [points[str(k)] for k in range(len(layout))]


def _compressed(path: Path, header: _Header) -> list[ndarray]:
    """Field after field, packed by LZF."""
    try:
        lzf = importlib.import_module("lzf")
    except ImportError:
        raise DataError(
            "reading packed .pcd files needs the package python-neo-lzf: pip install 'topokd[data]'"
        ) from None
    data = _body(path, header)
    packed, unpacked = struct.unpack("<II", data[:8])
    body = data[8 : 8 + packed]
    try:
        plain = lzf.decompress(body, unpacked) if unpacked else b""
    except ValueError:
        plain = None
    if plain is None and packed == unpacked:  # some writers store what does not become smaller as it is
        plain = body
    if plain is None or len(plain) != unpacked:
        raise DataError(f"{path} cannot be unpacked: it is damaged; copy it again")
    columns, start = [], 0
    for dtype, count in zip(header.dtypes, header.counts, strict=True):
        values = np.frombuffer(plain, dtype, header.points * count, start)
        columns.append(values.reshape(header.points, count))
        start += values.nbytes
    return columns


_READERS = {"ascii": _ascii, "binary": _binary, "binary_compressed": _compressed}
