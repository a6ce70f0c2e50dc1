"""Mutated files: which new inputs to try, and which are kept because they reached new code."""

from __future__ import annotations

import random
import struct
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from fuzz_readers import Corpus

KEPT, LARGEST = 300, 32_768  # inputs of one file that join the corpus, and bytes of each
LIBRARIES = ("plyfile", "laspy", "zipfile", "json", "safetensors", "numpy/lib/_npyio", "numpy/lib/_format")
PIECES = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\xff" * 4,
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"999999999999",
    b"-1",
    b"nan",
    b"1e308",
)
NUMBERS = (0, 1, 255, 1 << 16, (1 << 31) - 1, (1 << 32) - 1)


class Coverage:
    """Whether a call reached new code: pairs of successive lines of topokd's files and of `LIBRARIES`."""

    def __init__(self) -> None:
        self.pairs, self.grown = 0, False
        self._tracers: dict[CodeType, Any] = {}

    def __enter__(self) -> Coverage:
        self.grown = False
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        code = frame.f_code
        if code not in self._tracers:
            file = code.co_filename
            ours = "/topokd/" in file or any(f"/{name}" in file for name in LIBRARIES)
            self._tracers[code] = self._tracer() if ours else None
        return self._tracers[code]

    def _tracer(self) -> Any:
        seen, last = set[tuple[int, int]](), 0

        def trace(frame: FrameType, _event: str, _argument: Any) -> Any:
            nonlocal last
            pair, last = (last, frame.f_lineno), frame.f_lineno
            if pair not in seen:
                seen.add(pair)
                self.pairs += 1
                self.grown = True
            return trace

        return trace


def mutated(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """``content`` after one to eight changes; some copy a piece of one of ``others``."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        # most of what a reader trusts is at the beginning or the end
        most = min(len(data), 600) if rng.random() < 0.7 else len(data)
        at = rng.randint(0, most) if rng.random() < 0.8 else max(0, len(data) - rng.randint(1, 200))
        kind = rng.randrange(8)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            piece = rng.choice(PIECES)
            data[at : at + len(piece)] = piece
        elif kind == 2:
            del data[at : at + rng.randint(1, 32)]
        elif kind == 3:
            data[at:at] = rng.randbytes(rng.randint(1, 32))
        elif kind == 4 and rng.random() < 0.3:
            del data[at:]
        elif kind == 5:
            data[at : at + 4] = struct.pack("<I", rng.choice((*NUMBERS, len(data))))
        elif kind == 6:
            size = rng.randint(1, 40)
            data[at:at] = data[max(0, at - size) : at]  # twice
        else:
            other = rng.choice(others)
            start = rng.randint(0, len(other))
            data[at : at + 16] = other[start : start + 16]
    return bytes(data)


class Pool:
    """The contents to mutate: of each file the valid one, and inputs that reached new code, kept in a folder."""

    def __init__(self, folder: Path, files: Corpus, source: Path) -> None:
        self.folder = folder
        self.of = {name: [(source / name).read_bytes()] for name in files}
        for name, contents in self.of.items():
            contents += [file.read_bytes() for file in sorted(self._place(name).glob("*"))]

    def draw(self, name: str, rng: random.Random) -> bytes:
        """The valid file, or one of those that were added."""
        contents = self.of[name]
        return contents[0] if rng.random() < 0.3 else rng.choice(contents)

    def add(self, name: str, data: bytes) -> None:
        """Keep an input, if there is room."""
        contents = self.of[name]
        if len(contents) <= KEPT and len(data) <= LARGEST:
            place = self._place(name)
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{len(contents):04d}").write_bytes(data)
            contents.append(data)

    def _place(self, name: str) -> Path:
        return self.folder / name.replace("/", "-")
