"""Finds the scans to label and the files for their labels, and keeps a list of what earlier calls wrote.

``.topokd-labels.jsonl`` in the output folder has a line for every file that `topokd predict` wrote, with the digest of
its content. A file that is not listed, or has changed since, may be someone's own work, such as ground truth next to
the scans, and is replaced only on request. A scan is not labelled again if its labels are listed and were made from the
same scan by the same network and options.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from topokd.data.formats import SUFFIXES
from topokd.errors import DataError
from topokd.io import sha256

RECORD = ".topokd-labels.jsonl"
_LONGEST_NAME = 255
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz")


class Written:
    """The files that earlier calls wrote into a folder.

    Args:
        folder: folder of the outputs; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._file = folder, folder / RECORD
        self._entries: dict[str, dict[str, str]] = {}
        if self._file.is_file():
            for line in self._file.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    entry = json.loads(line)
                    self._entries[entry["file"]] = {name: str(entry[name]) for name in ("sha256", "recipe")}
                except (ValueError, KeyError, TypeError, RecursionError):  # the last line of a call that was killed
                    continue

    def owns(self, path: Path) -> bool:
        """Whether ``path`` is unchanged since a call wrote it."""
        entry = self._entries.get(self._key(path))
        return entry is not None and path.is_file() and entry["sha256"] == sha256(path)

    def is_current(self, path: Path, recipe: str) -> bool:
        """Whether ``path`` was written from the same inputs (`recipe`) and is unchanged."""
        return self._entries.get(self._key(path), {}).get("recipe") == recipe and self.owns(path)

    def add(self, path: Path, recipe: str = "") -> None:
        """Record that ``path`` was just written from the inputs ``recipe``.

        Raises:
            OSError: the record cannot be written; names its file.
        """
        entry = {"sha256": sha256(path), "recipe": recipe}
        self._entries[self._key(path)] = entry
        try:
            with self._file.open("a+b") as stream:
                stream.seek(max(0, stream.seek(0, os.SEEK_END) - 1))
                begin = b"" if stream.read(1) in (b"", b"\n") else b"\n"  # after half a line of a call that was killed
                stream.write(begin + json.dumps({"file": self._key(path), **entry}).encode() + b"\n")
        except OSError as error:  # of a full disk: without the path
            raise type(error)(error.errno, error.strerror or str(error), str(self._file)) from error

    def _key(self, path: Path) -> str:
        return Path(os.path.relpath(path, self.folder)).as_posix()


def find_scans(source: str | Path, output: str | Path | None = None) -> tuple[list[Path], list[str]]:
    """The readable files of a folder and its subfolders in order, or the one file itself.

    Links to files and folders are followed, each folder once; hidden files and folders are left out.

    Args:
        source: a scan or a folder.
        output: folder of the labels; if it is inside ``source``, files in it are skipped. Files that an earlier call
            wrote into any folder are never scans.

    Returns:
        The files, and remarks on what was left out.

    Raises:
        DataError: ``source`` does not exist or has no readable file.

    Examples:
        >>> import tempfile
        >>> source = Path(tempfile.mkdtemp())
        >>> for name in ("b.bin", "a.npy", "notes.txt"):
        ...     (source / name).touch()
        >>> files, remarks = find_scans(source)
        >>> [file.name for file in files], remarks
        (['a.npy', 'b.bin'], ['skipped 1 .txt; readable are .bin, .pcd, .ply, .las, .laz, .npy, .npz'])
    """
    source = Path(source)
    if not source.exists():
        raise DataError(f"{source} does not exist")
    if source.is_file():
        return [source], []
    inside = output is not None and _real(Path(output)) != _real(source)
    skipped = _real(Path(output)) if inside and output is not None else None
    written: dict[Path, Written] = {}  # by folder that has a record
    remarks: list[str] = []
    files, others = [], Counter[str]()
    for path in sorted(_walk(source, skipped, set(), remarks)):
        if path.suffix.lower() not in SUFFIXES:
            others[path.suffix.lower() or "no suffix"] += 1
        elif not _is_written(path, source, written):
            files.append(path)
    counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
    if not files:
        raise DataError(
            f"{source} has no scans{f', only {counts}' if counts else ''}; readable are {', '.join(SUFFIXES)}"
        )
    if others:
        remarks.append(f"skipped {counts}; readable are {', '.join(SUFFIXES)}")
    return files, remarks


def _is_written(path: Path, source: Path, known: dict[Path, Written]) -> bool:
    """Whether an earlier call wrote ``path``, by the records of the folders from its own up to ``source``."""
    for folder in path.parents:
        if folder not in known:
            known[folder] = Written(folder)
        if known[folder].owns(path):
            return True
        if folder == source:
            break
    return False


def _real(path: Path) -> Path:
    """The path without links; `Path.resolve` raises an error for a link that leads to itself."""
    return Path(os.path.realpath(path))


def _walk(folder: Path, skipped: Path | None, seen: set[Path], remarks: list[str]) -> Iterator[Path]:
    """Every file below a folder that is not hidden; a folder that is reached twice, through a link, counts once."""
    real = _real(folder)
    if real in seen or (skipped is not None and (real == skipped or skipped in real.parents)):
        return
    seen.add(real)
    try:
        children = sorted(folder.iterdir(), key=lambda child: (child.is_symlink(), child.name))
    except OSError as error:
        remarks.append(f"{folder} cannot be read ({error.strerror})")
        return
    for child in children:
        if child.name.startswith("."):
            continue
        if child.is_dir():
            yield from _walk(child, skipped, seen, remarks)
        elif child.is_file():
            yield child
        elif child.is_symlink():
            remarks.append(f"{child} is a broken link")


def targets_of(
    files: list[Path], root: Path, output: Path, format: str | None, formats: tuple[str, ...]
) -> dict[Path, Path]:
    """The file that each scan's labels go to.

    Args:
        files: the scans.
        root: folder whose structure is kept.
        output: a folder, or a file for one scan.
        format: format of the labels; None: that of ``output``, or the first of ``formats``.
        formats: formats that can be written.

    Raises:
        DataError: ``output`` does not fit the scans, or two scans would share a file.
    """
    suffix = output.suffix.lstrip(".") if output.suffix.lstrip(".") in formats else None
    if suffix and len(files) == 1 and not output.is_dir():
        if format and format != suffix:
            raise DataError(f"the output is called {output.name} but the format is {format}: drop one of the two")
        _keep_scan(files[0], output)
        return {files[0]: output}
    if suffix and not output.is_dir():
        raise DataError(f"{output} is the name of one file, but there are {len(files)} scans: name a folder")
    unusual = len(files) == 1 or output.suffix.lower() in (*_ARCHIVES, *SUFFIXES)
    if output.suffix and not output.is_dir() and unusual:
        raise DataError(f"{output}: labels are written as .{', .'.join(formats)}; use such a name, or name a folder")
    chosen = format or formats[0]
    if chosen not in formats:
        raise DataError(f"format {chosen!r} is unknown; choose one of {', '.join(formats)}")
    scan_of: dict[Path, Path] = {}
    for file in files:
        name = file.name[: -len(".pcd.bin")] if file.name.endswith(".pcd.bin") else file.stem
        target = output / file.relative_to(root).parent / f"{name}.{chosen}"
        if target in scan_of:
            raise DataError(
                f"{scan_of[target]} and {file} would both be written to {target}: rename one, or move it away"
            )
        _keep_scan(file, target)
        scan_of[target] = file
    return {file: target for target, file in scan_of.items()}


def _keep_scan(file: Path, target: Path) -> None:
    """Raise `DataError` if the labels of a scan would replace the scan itself, whatever the user allows."""
    if _real(target) == _real(file):
        raise DataError(f"{file} would be overwritten by its own labels: choose another output")


def check_targets(paths: list[Path], written: Written, overwrite: bool) -> None:
    """Check, before any scan is labelled, that no output would replace a file that topokd did not write.

    Args:
        paths: files that will be written.
        written: the files that earlier calls wrote.
        overwrite: whether other files may be replaced.

    Raises:
        DataError: an output is a folder, or a file that no earlier call wrote, or its name is too long.
    """
    for path in paths:
        if len(os.fsencode(path.name)) > _LONGEST_NAME:
            raise DataError(
                f"{path} would have a name of {len(os.fsencode(path.name))} bytes, and file systems allow "
                f"{_LONGEST_NAME}: rename the scan"
            )
    folders = [path for path in (*paths, written.folder / RECORD) if path.is_dir()]
    if folders:
        raise DataError(
            f"{folders[0]} is a folder, and labels would be written there: move it, or choose another output"
        )
    foreign = [path for path in paths if os.path.lexists(path) and not written.owns(path)]
    if foreign and not overwrite:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise DataError(
            f"{foreign[0]}{more} would be replaced, but topokd predict did not write {'them' if more else 'it'} "
            "(ground truth?): choose another output, or pass --overwrite"
        )
