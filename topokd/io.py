"""Atomic, byte-stable files: every writer in topokd uses these functions."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import math
import os
import secrets
import shutil
import stat
import sys
import time
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from topokd.errors import DataError

PARTIAL = ".part-"
"""Beginning of the names of files that are being written; .gitignore and .dvcignore have it too."""
PACKAGE = Path(__file__).parent
"""Folder of topokd's own sources."""
LEAST_FREE = 1 << 16
"""Bytes: a file system with less is full."""
ARRAY_ERRORS: tuple[type[Exception], ...] = (
    ValueError, KeyError, OSError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error,
    RuntimeError,  # encrypted; NotImplementedError, which is one: an unknown compression
    tokenize.TokenError, SyntaxError,  # of the header, which NumPy parses as Python
)  # fmt: skip
"""What numpy.load and the arrays of an archive raise if a file is damaged or hostile."""


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path`` that replaces it when the block ends without an error.

    A reader sees either the old file or the complete new one, even after a kill or on a full disk. The new file has
    the permissions of the old one, or those of the umask. A killed process leaves the temporary file behind, see
    `remove_partial_files`.

    Raises:
        IsADirectoryError: ``path`` is a folder.
        OSError: it cannot be written; the error names ``path`` and the cause, such as a full disk.
    """
    path = Path(path)
    if path.is_dir():  # fail now rather than after hours of work, when the file is replaced
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unique = path.with_name(f"{PARTIAL}{short(path.stem)}-{secrets.token_hex(8)}{path.suffix}")
        unique.touch(exist_ok=False)  # with the permissions that the umask leaves, unlike tempfile's
        temporary = unique
        yield temporary
        with contextlib.suppress(FileNotFoundError):  # DVC's links to its cache are read-only
            os.chmod(temporary, stat.S_IMODE(path.stat().st_mode) | stat.S_IWUSR)
        os.replace(temporary, path)
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise _about(error, path, temporary) from error
        # torch and safetensors do not say that the disk is full; NumPy says "54720 requested and 21472 written"
        cut = isinstance(error, OSError) and "requested and" in str(error)
        if not cut and (temporary is None or shutil.disk_usage(path.parent).free >= LEAST_FREE):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def remove_partial_files(folder: str | Path, age: float = 3600.0) -> list[Path]:
    """Remove the temporary files that killed processes left in a folder and below it.

    A file that was written to recently may belong to a process on this or another machine, and stays.

    Args:
        folder: links to other folders are not followed; it may be missing.
        age: seconds since the last write to a file, after which nobody is writing it.

    Returns:
        The removed files.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / ".part-table7-x1y2.csv").touch()
        >>> remove_partial_files(folder), [file.name for file in remove_partial_files(folder, age=0)]
        ([], ['.part-table7-x1y2.csv'])
    """
    removed = []
    for parent, _, names in os.walk(folder):
        for file in (Path(parent, name) for name in names if name.startswith(PARTIAL)):
            with contextlib.suppress(OSError):  # another process removed it, or it belongs to another user
                if time.time() - file.stat().st_mtime >= age:
                    file.unlink()
                    removed.append(file)
    return removed


def short(name: str, most: int = 100) -> str:
    """The beginning of a file name, cut to a number of bytes: most file systems allow 255.

    Examples:
        >>> short("scan"), len(short("点" * 80))
        ('scan', 33)
    """
    return os.fsencode(name)[:most].decode(sys.getfilesystemencoding(), errors="ignore")


def printable(name: str) -> str:
    """A file name as text that can be stored: bytes that are not in the system's encoding become escapes.

    Examples:
        >>> name = "Stra" + chr(0xDCDF) + "e"  # Python's name of a file with the byte 0xDF
        >>> print(printable(name))
        Stra\\udcdfe
    """
    return name.encode("utf-8", errors="backslashreplace").decode("utf-8")


def _about(error: OSError, path: Path, temporary: Path | None) -> OSError:
    """``error`` as one about ``path``: libraries leave out the path, or name the temporary file."""
    if error.filename is not None and temporary is not None and str(error.filename) != str(temporary):
        return error  # about another file, which the block read
    if error.filename is not None and temporary is None and not str(error.filename).startswith(str(path.parent)):
        return error  # a folder above: it names what is in the way
    return type(error)(error.errno, os.strerror(error.errno or 0), str(path))


def is_private(status: os.stat_result) -> bool:
    """Whether this is a folder of this user, to which no other may write; a link to one is not (`Path.lstat`)."""
    return stat.S_ISDIR(status.st_mode) and (
        not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & 0o022)
    )


def require_writable(*folders: str | Path) -> None:
    """Raise before hours of work what would be raised after them: a folder cannot be made or written.

    Args:
        folders: created if missing.

    Raises:
        OSError: names the folder and the cause.
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


@functools.cache
def source_digest(*packages: str) -> str:
    """Digest of the sources of some packages of topokd and of the modules at its root, which all of them use.

    Whatever is kept to be used again by a later call, a state, a cached scan, labels, has it in its key: after a change
    of the code that made it, it is not found. Name every package that this code imports.

    Args:
        packages: names of folders of the package, such as ``data``.

    Examples:
        >>> source_digest("data") == source_digest("data") != source_digest("data", "datasets")
        True
    """
    files = [*PACKAGE.glob("*.py"), *(file for name in packages for file in (PACKAGE / name).rglob("*.py"))]
    lines = (f"{file.relative_to(PACKAGE).as_posix()}:{sha256(file)}\n" for file in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _sha256(stream: Any) -> str:
    digest = hashlib.sha256()  # Python 3.10 has no hashlib.file_digest
    for block in iter(lambda: stream.read(1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()
