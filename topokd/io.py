"""Atomic, byte-stable files: every writer in topokd uses these functions."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from topokd.errors import DataError
from topokd.locks import lock_open_file

PARTIAL = ".part-"
"""Beginning of the names of files that are being written; .gitignore and .dvcignore have it too."""
LEAST_FREE = 1 << 16
"""Bytes: a file system with less is full."""


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path`` that replaces it when the block ends without an error.

    A reader sees either the old file or the complete new one, even after a kill or on a full disk. A killed process
    leaves the temporary file behind, see `remove_partial_files`.

    Raises:
        IsADirectoryError: ``path`` is a folder.
        OSError: it cannot be written; the error names ``path`` and the cause, such as a full disk.
    """
    path = Path(path)
    if path.is_dir():  # fail now rather than after hours of work, when the file is replaced
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary: Path | None = None
    handle = -1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = _locked_partial_file(path)
        yield temporary
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise _about(error, path, temporary) from error
    except Exception as error:  # torch and safetensors do not say that the disk is full
        if temporary is None or shutil.disk_usage(path.parent).free >= LEAST_FREE:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
            os.close(handle)


def _locked_partial_file(path: Path) -> tuple[int, Path]:
    """A new temporary file next to a path, locked for as long as it is open."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{PARTIAL}{short(path.stem)}-", suffix=path.suffix)
        if not lock_open_file(handle, wait=False) or os.path.exists(name):
            return handle, Path(name)
        os.close(handle)  # `remove_partial_files` of another process was faster


def remove_partial_files(folder: str | Path) -> list[Path]:
    """Remove the temporary files that killed processes left in a folder and below it.

    Files that another process is writing now are locked by it, and stay.

    Args:
        folder: links to other folders are not followed; it may be missing.

    Returns:
        The removed files.

    Examples:
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / ".part-table7-x1y2.csv").touch()
        >>> with atomic_path(folder / "table8.csv"):
        ...     [file.name for file in remove_partial_files(folder)]
        ['.part-table7-x1y2.csv']
    """
    removed = []
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.startswith(PARTIAL):
                file = Path(parent, name)
                with contextlib.suppress(OSError), file.open("rb") as stream:
                    if lock_open_file(stream.fileno(), wait=False):
                        file.unlink()
                        removed.append(file)
    return removed


def short(name: str, most: int = 100) -> str:
    """The beginning of a file name, cut to a number of bytes: most file systems allow 255.

    Examples:
        >>> short("scan"), len(short("点" * 80))
        ('scan', 33)
    """
    return os.fsencode(name)[:most].decode(errors="ignore")


def _about(error: OSError, path: Path, temporary: Path | None) -> OSError:
    """``error`` as one about ``path``: libraries leave out the path, the cause, or name the temporary file."""
    if error.filename is not None and temporary is not None and str(error.filename) != str(temporary):
        return error  # about another file, which the block read
    if error.filename is not None and temporary is None and not str(error.filename).startswith(str(path.parent)):
        return error  # a folder above: it names what is in the way
    number = error.errno
    if number is None:  # NumPy: "54720 requested and 21472 written"
        number = errno.ENOSPC if "requested and" in str(error) else errno.EIO
    return type(error)(number, os.strerror(number), str(path))


def require_writable(*folders: str | Path) -> None:
    """Raise before hours of work what would be raised after them: a folder cannot be made or written.

    Args:
        folders: Created if missing.

    Raises:
        OSError: Names the folder and the cause.
    """
    for folder in map(Path, folders):
        with atomic_path(folder / ".writable") as temporary:
            temporary.write_bytes(b"\0")
        (folder / ".writable").unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, as UTF-8 and without translating line ends.

    Bytes of a file's name that are not UTF-8, lone surrogates in Python, become escapes that JSON knows: ``\\udcdf``.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def _plain(value: Any) -> Any:
    """Convert to the types of JSON; NaN and infinity become null, so that any JSON reader can load the file."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return value.as_posix()
    return value


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` to ``path`` as JSON (2 spaces, keys in the given order, NaN as null) atomically."""
    write_text(path, json.dumps(_plain(value), indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: the file is missing or damaged.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: run the stage that writes it (`dvc repro`)") from None
    except (ValueError, RecursionError) as error:  # not JSON, not text, endlessly nested
        raise DataError(f"{path} is not valid JSON ({error}): delete it and run `dvc repro`") from error


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _sha256(stream)


def _sha256(stream: Any) -> str:
    digest = hashlib.sha256()  # Python 3.10 has no hashlib.file_digest
    for block in iter(lambda: stream.read(1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()
