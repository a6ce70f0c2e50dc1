"""What a parquet file says about its size, read without pyarrow, which ends the process on some damaged ones.

A file ends with the footer (a struct in Thrift's compact protocol), its length (uint32) and ``PAR1``. Fields by number,
from parquet.thrift: FileMetaData.row_groups 4, RowGroup.columns 1, ColumnChunk.meta_data 3,
ColumnMetaData.type 1, path_in_schema 3, total_uncompressed_size 6, total_compressed_size 7, data_page_offset 9 and
dictionary_page_offset 11. A column chunk is a sequence of pages, each after a PageHeader: uncompressed_page_size 2,
compressed_page_size 3, and in data_page_header 5, dictionary_page_header 7 or data_page_header_v2 8 num_values 1.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEEPEST = 20  # structs inside structs; parquet needs 8
INTEGERS = (4, 5, 6)  # i16, i32, i64
BINARY, LIST, SET, MAP, STRUCT = 8, 9, 10, 11, 12
STRINGS = (6, 7)  # parquet's types of bytes, of any and of one length
VALUE = 8  # bytes of a decoded number, with its levels
LONGEST_HEADER = 1 << 16  # of a page


@dataclass(frozen=True)
class Chunk:
    """A column of a row group.

    Attributes:
        kind: type of its values.
        size: bytes before compression, as the footer says.
        start: place of its first page in the file.
        length: bytes of its pages in the file.
    """

    kind: int
    size: int
    start: int
    length: int


def column_chunks(file: Path) -> list[dict[str, Chunk]]:
    """The columns of each row group, by their dotted paths.

    Args:
        file: a parquet file.

    Raises:
        ValueError: the footer is damaged.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        stream.seek(max(0, size - 8))
        tail = stream.read(8)
        length = struct.unpack("<I", tail[:4])[0] if len(tail) == 8 else size
        if length + 8 > size or tail[4:] != b"PAR1":
            raise ValueError("it does not end with a footer")
        stream.seek(size - 8 - length)
        footer = _Reader(stream.read(length)).struct()
    try:
        return [{_text(column[3][3]): _chunk(column[3]) for column in group.get(1, ())} for group in footer.get(4, ())]
    except (AttributeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"its footer lacks the sizes of columns ({error})") from error


def _text(path: list[bytes]) -> str:
    return ".".join(part.decode() for part in path)


def _chunk(column: dict[int, Any]) -> Chunk:
    starts = [int(column[field]) for field in (9, 11) if column.get(field)]
    return Chunk(int(column[1]), int(column[6]), min(starts, default=0), int(column[7]))


def decoded_size(file: Path, chunk: Chunk) -> int:
    """Bytes that a column chunk takes in memory, at most: what its pages count, whatever the footer says.

    Run-length encoding packs a billion equal numbers, or references to one long text, into a few bytes.

    Args:
        file: the parquet file.
        chunk: one of its `column_chunks`.

    Raises:
        ValueError: a page is damaged.
    """
    values = size = longest = 0
    at, end = chunk.start, min(chunk.start + chunk.length, file.stat().st_size)
    with file.open("rb") as stream:
        while 0 <= at < end:
            stream.seek(at)
            reader = _Reader(stream.read(min(LONGEST_HEADER, end - at)))
            page = reader.struct()
            count = next((page[field].get(1) for field in (5, 7, 8) if isinstance(page.get(field), dict)), 0)
            numbers = (page.get(2), page.get(3), count)
            if not all(isinstance(number, int) and number >= 0 for number in numbers):
                raise ValueError("a page of it has no sizes")
            size += page[2]
            if 7 in page:
                longest = max(longest, page[2])
            else:
                values += count
            at += reader.at + page[3]
    return max(chunk.size, size, values * (longest if chunk.kind in STRINGS else VALUE))


class _Reader:
    """Values of Thrift's compact protocol; a struct is a dict by field number, a list a list, a map is skipped."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.depth = data, 0, 0

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError("it is nested too deeply")
        while (head := self._byte()) != 0:
            number = number + (head >> 4) if head >> 4 else self._signed()
            kind = head & 15
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind)
        self.depth -= 1
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (1, 2, 3):  # a boolean in a list, or an i8
            return self._byte()
        if kind in INTEGERS:
            return self._signed()
        if kind == 7:  # double
            return self._bytes(8)
        if kind == BINARY:
            return self._bytes(self._unsigned())
        if kind in (LIST, SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._unsigned()
            return [self._value(head & 15) for _ in range(self._most(count))]
        if kind == MAP:
            count = self._most(self._unsigned())
            kinds = self._byte() if count else 0
            return [(self._value(kinds >> 4), self._value(kinds & 15)) for _ in range(count)]
        if kind == STRUCT:
            return self.struct()
        raise ValueError(f"its footer has a value of unknown type {kind}")

    def _most(self, count: int) -> int:
        if count > len(self.data) - self.at:  # each item takes a byte at least
            raise ValueError("its footer counts more than it holds")
        return count

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _bytes(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise ValueError("its footer is truncated")
        self.at += count
        return self.data[self.at - count : self.at]

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("its footer has a number of more than 64 bits")

    def _signed(self) -> int:
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)
