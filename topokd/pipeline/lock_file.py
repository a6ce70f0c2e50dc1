"""dvc.lock is written atomically, and restored where a killed ``dvc`` left half of it.

DVC opens the file and writes into it for about a second. `topokd stage` and `topokd repro` replace it by a complete new
one. A plain ``dvc repro`` does not; every notebook that it starts therefore keeps a copy of the file first, which
`topokd repro` and `topokd status` restore if DVC was killed within that second.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from topokd.io import atomic_path
from topokd.project import project_path

log = logging.getLogger(__name__)
CONFLICT = ("<<<<<<<", ">>>>>>>")


def write_atomically() -> None:
    """Make DVC write dvc.lock atomically in this process."""
    from dvc import dvcfile

    dvcfile.modify_yaml = _modify


@contextlib.contextmanager
def _modify(path: str, fs: Any = None) -> Iterator[Any]:
    """DVC's `modify_yaml` for files on disk: the content of a file, which is written back with the same bytes."""
    from dvc.utils.serialize import dump_yaml, parse_yaml_for_update

    file = Path(path)
    data = parse_yaml_for_update(file.read_text(encoding="utf-8"), path) if file.exists() else {}
    yield data
    with atomic_path(file) as temporary:
        dump_yaml(str(temporary), data)
    _keep(file)


def is_incomplete() -> bool:
    """Whether the end of dvc.lock is missing; False if the file is, or if it has conflict markers of git.

    A file that is the same as its copy is not read. If it was cut between two entries, DVC takes it for complete; the
    stages of the missing entries then run again.
    """
    import yaml

    file = project_path("dvc.lock")
    if not file.is_file() or _same_file(file, _copy()):
        return False
    text = file.read_text(encoding="utf-8", errors="replace")
    if any(line.startswith(CONFLICT) for line in text.splitlines()):
        return False
    if not text.endswith("\n"):
        return True
    try:
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return True
    stages = content.get("stages") if isinstance(content, dict) and "schema" in content else None
    if not isinstance(stages, dict) or not all(isinstance(entry, dict) and "cmd" in entry for entry in stages.values()):
        return True
    return any(
        not isinstance(item, dict) or not item.keys() >= {"path", "size"}
        for entry in stages.values()
        for kind in ("deps", "outs")
        for item in entry.get(kind) or []
    )


def restore() -> None:
    """Replace an incomplete dvc.lock by its copy, if there is one; call it with DVC's lock held.

    Results that were recorded after the copy was made are computed again.
    """
    file, copy = project_path("dvc.lock"), _copy()
    if is_incomplete() and copy.is_file():
        with atomic_path(file) as temporary:
            shutil.copyfile(copy, temporary)
        _keep(file)
        log.warning("%s was left incomplete by a killed dvc: restored from %s", file, copy)


def keep() -> None:
    """Copy dvc.lock, if it is complete and differs from its copy; a copy that cannot be written stops nothing."""
    file = project_path("dvc.lock")
    try:
        if file.is_file() and not _same_file(file, _copy()) and not is_incomplete():
            _keep(file)
    except OSError as error:
        log.warning("no copy of dvc.lock is kept: %s", error)


def _copy() -> Path:
    return project_path(".dvc/tmp/topokd/dvc.lock")


def _keep(file: Path) -> None:
    with atomic_path(_copy()) as temporary:
        shutil.copy2(file, temporary)


def _same_file(one: Path, other: Path) -> bool:
    """Whether both have the same size and time of modification."""
    try:
        a, b = one.stat(), other.stat()
    except OSError:
        return False
    return (a.st_size, a.st_mtime_ns) == (b.st_size, b.st_mtime_ns)
