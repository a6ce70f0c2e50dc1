"""A submission folder as the .zip that the server takes: written from a folder, opened as one."""

from __future__ import annotations

import contextlib
import errno
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from topokd.checks import require_inside, require_small_archive
from topokd.datasets.submission_ids import zip_entry
from topokd.errors import DataError
from topokd.io import atomic_path, short

MOST_BYTES = 8 << 30
"""Of an unpacked submission; the largest, panoptic labels of the test split, takes half of it."""
_OF_THE_ARCHIVE = (None, errno.EINVAL, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)
"""Errors whose cause is in the archive: a damaged bz2 stream, an entry that is also a folder, a long name."""


@contextlib.contextmanager
def folder_to_write(path: Path) -> Iterator[Path]:
    """Yield the folder to write a submission to: ``path`` itself, or one that is packed at the end.

    Args:
        path: a folder, or a file name that ends with .zip. The .zip appears only when the block ends without an error.

    Raises:
        DataError: ``path`` exists and is of the other kind.
    """
    if path.suffix.lower() != ".zip":
        if path.is_file():
            raise DataError(f"{path} is a file; name a folder, or a .zip to write")
        yield path
        return
    if path.is_dir():
        raise DataError(f"{path} is a folder: move it, or choose another name for the .zip")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{short(path.stem)}-") as name:
        folder = Path(name)
        yield folder
        with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(file for file in folder.rglob("*") if file.is_file()):
                archive.writestr(zip_entry(file.relative_to(folder).as_posix()), file.read_bytes())


@contextlib.contextmanager
def folder_to_read(path: Path) -> Iterator[Path]:
    """Yield the folder of a submission: ``path`` itself, or the unpacked content of a .zip.

    Raises:
        DataError: ``path`` does not exist, is neither a folder nor an intact .zip, or holds names that lead out of it.
    """
    if path.is_dir():
        yield path
        return
    if not path.exists():
        raise DataError(f"{path} does not exist: write it with `topokd submit`")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(
            f"{path} is neither a folder nor a complete .zip, as a submission to nuScenes must be ({error}): write it "
            "with `topokd submit`"
        ) from error
    with archive, tempfile.TemporaryDirectory(prefix="topokd-submission-") as folder:
        for name in archive.namelist():
            require_inside(name, f"{path}:")
        require_small_archive(archive, str(path), MOST_BYTES)
        try:
            archive.extractall(folder)
        except (zipfile.BadZipFile, zlib.error, ValueError, RuntimeError, EOFError) as error:
            # RuntimeError: encrypted, or NotImplementedError: an unknown compression
            raise DataError(f"{path} is damaged ({error}): write it again with `topokd submit`") from error
        except OSError as error:
            if error.errno not in _OF_THE_ARCHIVE:  # a full disk, say
                raise
            raise DataError(f"{path} is damaged ({error}): write it again with `topokd submit`") from error
        yield Path(folder)
