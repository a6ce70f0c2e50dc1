"""Submissions that are folders, as the .zip that servers take."""

from __future__ import annotations

import contextlib
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from topokd.errors import DataError
from topokd.io import atomic_path

FOLDERS = ("nuscenes",)
"""Benchmarks whose submission is a folder."""
_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal content, equal bytes


@contextlib.contextmanager
def written_submission(benchmark: str, output: Path) -> Iterator[Path]:
    """The path to write a submission to; for a folder's benchmark and a name ending in .zip, it is packed afterwards.

    Args:
        benchmark: name of the benchmark.
        output: the name that the user gave.

    Raises:
        DataError: ``output`` is of another kind than the benchmark's submission.
    """
    if benchmark not in FOLDERS or output.suffix.lower() != ".zip":
        if benchmark in FOLDERS and output.is_file():
            raise DataError(f"{output} is a file; name a folder, or a .zip to write")
        yield output
        return
    if output.is_dir():
        raise DataError(f"{output} is a folder: move it, or choose another name for the .zip")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.stem}-") as name:
        folder = Path(name)
        yield folder
        with atomic_path(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, file.read_bytes())


@contextlib.contextmanager
def opened_submission(benchmark: str, path: Path) -> Iterator[Path]:
    """The path to validate: a folder's benchmark sees the content of a .zip.

    Raises:
        DataError: the .zip is damaged, or has names that leave its folder.
    """
    if benchmark not in FOLDERS or not path.is_file():
        yield path
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path} is not a .zip that can be read ({error}): write it with `topokd submit`") from error
    with archive, tempfile.TemporaryDirectory(prefix="topokd-submission-") as folder:
        for name in archive.namelist():
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise DataError(f"{path} holds {name!r}, outside of its folder: write it with `topokd submit`")
        try:
            archive.extractall(folder)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise DataError(f"{path} is damaged ({error}): write it again with `topokd submit`") from error
        yield Path(folder)
