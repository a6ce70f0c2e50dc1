"""The footer of a parquet file, read without pyarrow, which ends the process on some damaged ones.

A file ends with the footer (a struct in Thrift's compact protocol), its length (uint32) and ``PAR1``. Fields by number,
from parquet.thrift: FileMetaData.row_groups 4, RowGroup.columns 1, ColumnChunk.meta_data 3,
ColumnMetaData.path_in_schema 3 and total_uncompressed_size 6.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

DEEPEST = 20  # structs inside structs; parquet needs 8
INTEGERS = (4, 5, 6)  # i16, i32, i64
BINARY, LIST, SET, MAP, STRUCT = 8, 9, 10, 11, 12


def unpacked_sizes(file: Path) -> list[dict[str, int]]:
    """Bytes of each column (by its dotted path) before compression, for each row group.

    Args:
        file: A parquet file.

    Raises:
        ValueError: The footer is damaged.
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
        return [{_text(column[3][3]): int(column[3][6]) for column in group.get(1, ())} for group in footer.get(4, ())]
    except (AttributeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"its footer lacks the sizes of columns ({error})") from error


def _text(path: list[bytes]) -> str:
    return ".".join(part.decode() for part in path)


class _Reader:
    """Values of Thrift's compact protocol; a struct is a dict by field number, a list a list, a map is skipped."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.depth = data, 0, 0

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError("its footer is nested too deeply")
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
