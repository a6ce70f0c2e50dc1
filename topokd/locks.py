"""Locks between processes: files that one process holds at a time, and that the system releases when it dies."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(file: Path, wait: Callable[[], None] | None = None) -> Iterator[bool]:
    """Hold the lock of a file inside the block; yields whether this process holds it.

    On systems without locks (some file systems, Windows) it is always held. The file is not removed: a third process
    could then lock a new file while a second one waits for the old one.

    Args:
        file: the file to lock; created if it is missing.
        wait: called if another process holds the lock, before waiting for it; None: do not wait.

    Examples:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "street.lock")
        >>> with locked(file) as mine, locked(file) as also:
        ...     mine, also
        (True, False)
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+b") as stream:
        if fcntl is None:
            yield True
            return
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if wait is None:
                yield False
                return
            wait()
            fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError as error:
            log.debug("%s: %s", file, error)
        yield True
