"""Standard streams of a command that may be closed, on a full disk, or in another character set."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

NAMES = ("stdin", "stdout", "stderr")


def prepare_streams() -> None:
    """Make standard streams safe to use; call it before anything else opens a file.

    - A closed stream (``2>&-``) becomes the null device. Otherwise the next file that is opened, such as one of labels,
      would take its number, and get the messages that libraries write to it.
    - What cannot be written to the standard error, as on a full disk, is dropped: a progress bar must not end the work.
    - What cannot be written to the standard output raises an OSError that names it.
    - Characters that a terminal lacks, and bytes of file names in another encoding, are written as escapes.

    Streams that a program has replaced, as tests do, stay as they are.
    """
    for number, name in enumerate(NAMES):
        _open_if_closed(number, name)
    for name, number, tolerant in (("stdout", 1, False), ("stderr", 2, True)):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            stream.flush()
            setattr(sys, name, _text(_Output(number, tolerant), stream.encoding))


def _open_if_closed(number: int, name: str) -> None:
    """Open the null device under a number that no open file has, and as the stream of `sys`."""
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)
        os.set_inheritable(number, True)
    if getattr(sys, name) is None:  # Python's sign of a closed stream
        tolerant = _Output(number, tolerant=True) if number else None
        stream = os.fdopen(number, closefd=False) if tolerant is None else _text(tolerant, "utf-8")
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _text(raw: io.FileIO, encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=True)


class _Output(io.FileIO):
    """A standard stream to write to.

    Args:
        number: 1 or 2.
        tolerant: drop what cannot be written.
    """

    def __init__(self, number: int, tolerant: bool) -> None:
        super().__init__(number, "w", closefd=False)
        self._tolerant = tolerant
        self._called = "standard output" if number == 1 else "standard error"

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if self._tolerant:
                return len(data)
            self._tolerant = True  # Python tries again when it ends
            raise type(error)(error.errno, error.strerror, self._called) from error
