"""The folder of compiled kernels. Importing this module does not import Numba.

Numba's own cache is in the source folder, which may be read-only in a container; it does not notice changes in other
files (a callee, a constant); and its index can mix up signatures that two processes compile at the same time. Here
each compiled function is one file, in the first writable folder of `$TOPOKD_CACHE`, `$NUMBA_CACHE_DIR/topokd`,
`$XDG_CACHE_HOME/topokd`, `~/.cache/topokd`, and a private folder in the temporary directory. Its subfolder is named
by a digest of everything but the signature that the machine code depends on: sources, versions, Numba's settings,
processor. So a file is never out of date or overwritten by different code. Files are never deleted, because other
tasks may be using them.

What is loaded from the cache is executed. So a folder that another user owns or may write to, such as one for a whole
group, gets a private subfolder, and a file that another user owns is compiled again.

A file holds the SHA-256 of the rest, and the rest: for `topokd.compiled.jit` a pickled function of Numba's, for
`topokd.compiled.native` object code alone.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import logging
import os
import platform
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from llvmlite import binding

from topokd.io import is_private, write_bytes
from topokd.progress import notify

log = logging.getLogger(__name__)

SECONDS = {"kernels": 30, "data": 10, "synthetic": 15}
"""About how long it takes to compile all kernels of a package on one core; a call compiles some of them."""
SETTINGS = ("BOUNDSCHECK", "OPT", "DEBUGINFO_DEFAULT", "CPU_NAME", "CPU_FEATURES", "ENABLE_AVX", "LOOP_VECTORIZE")
"""Numba's settings (environment variables ``NUMBA_...``) that change the machine code."""


def cache_roots() -> Iterator[Path]:
    """Candidate folders for the cache, in order of preference.

    Examples:
        >>> os.environ["TOPOKD_CACHE"] = "/scratch/topokd"
        >>> next(cache_roots()).as_posix()
        '/scratch/topokd'
        >>> del os.environ["TOPOKD_CACHE"]
    """
    for variable, subfolder in (("TOPOKD_CACHE", ""), ("NUMBA_CACHE_DIR", "topokd"), ("XDG_CACHE_HOME", "topokd")):
        if os.environ.get(variable):
            # job scripts pass ~ without a shell that expands it; a folder named ~ would be created here
            yield Path(os.path.abspath(os.path.expanduser(os.environ[variable]))) / subfolder
    with contextlib.suppress(RuntimeError):  # no $HOME, and no entry for the user in /etc/passwd
        yield Path.home() / ".cache" / "topokd"
    if (folder := _temporary_folder()) is not None:
        yield folder / f"topokd-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"


def _temporary_folder() -> Path | None:
    """The folder of temporary files; None in a container whose file systems are all read-only."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return None


@functools.cache
def cache_root() -> Path | None:
    """The first of `cache_roots` that this user can write to, or a subfolder, and no other user can; None without."""
    for root in cache_roots():
        try:
            folder = private_folder(root)
        except OSError:
            continue
        if folder is not None and os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            return folder
    notify(
        log,
        f"no folder for compiled kernels is writable (tried {', '.join(map(str, cache_roots()))}), so each process "
        "compiles them again: set TOPOKD_CACHE to a writable folder",
    )
    return None


def private_folder(root: Path) -> Path | None:
    """``root``, made if missing, or a subfolder of it, such that only this user can put files there.

    Args:
        root: a folder; a link is followed, but not one in the folder of temporary files, where anyone can make links.

    Returns:
        None if there is none, which is reported.

    Raises:
        OSError: it cannot be made.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = root.parent == _temporary_folder()
    if is_private(root.lstat() if temporary else root.stat()):
        return root
    if not (temporary and root.is_symlink()):
        own = root / f"topokd-{os.getuid()}"
        own.mkdir(mode=0o700, exist_ok=True)
        if is_private(own.lstat()):
            log.info("compiled kernels are kept in %s, as other users may write to %s", own, root)
            return own
    notify(log, f"{root} is not used for compiled kernels: other users may write to it, and what is there is executed")
    return None


@functools.cache
def digest(folder: Path) -> str:
    """SHA-256 of everything that the machine code of a folder's kernels depends on: sources, versions, processor.

    Args:
        folder: the sources; a kernel calls only functions in the same folder.
    """
    features = binding.get_host_cpu_features().flatten()
    versions = (
        *map(importlib.metadata.version, ("numba", "llvmlite")),
        sys.version,
        platform.machine(),
        binding.get_host_cpu_name(),
    )
    settings = tuple(os.environ.get(f"NUMBA_{name}") for name in SETTINGS)
    content = hashlib.sha256(repr((*versions, features, *settings)).encode())
    for source in [*sorted(Path(__file__).parent.glob("*.py")), *sorted(folder.glob("*.py"))]:
        if source.is_file():  # an editor's lock may be a link to nothing: .#name.py
            content.update(hashlib.sha256(source.read_bytes()).digest())
    return content.hexdigest()


def cached_folder(source: Path) -> Path | None:
    """The folder for the compiled functions of a source file; None without a writable cache."""
    root = cache_root()
    return None if root is None else root / f"{source.parent.name}-{digest(source.parent)[:20]}"


_announced: set[tuple[str, int]] = set()
_compiling = threading.local()


def announce(package: str, seconds: int | None = None) -> None:
    """Say, once per package and estimate, that kernels are being compiled, and about how long that takes."""
    seconds = seconds or SECONDS.get(package.rpartition(".")[2], 30)
    if getattr(_compiling, "announced", False) or (package, seconds) in _announced:
        return
    _announced.add((package, seconds))
    notify(
        log,
        f"compiling kernels of {package} that are not cached yet: up to about {seconds} s, once; "
        "`topokd warm-up` compiles all kernels in advance",
    )


@contextlib.contextmanager
def announcing(package: str, seconds: int) -> Iterator[None]:
    """`announce`, for all that is compiled inside."""
    announce(package, seconds)
    _compiling.announced = True
    try:
        yield
    finally:
        _compiling.announced = False


def read(file: Path) -> bytes | None:
    """The content of a file of the cache; None if there is none, or it is damaged or another user's."""
    try:
        with file.open("rb") as stream:
            owner, content = os.fstat(stream.fileno()).st_uid, stream.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        notify(log, f"{file} cannot be read ({error}): compiling again")
        return None
    if hasattr(os, "getuid") and owner != os.getuid():
        notify(log, f"{file} belongs to another user: compiling again")
        return None
    if hashlib.sha256(content[32:]).digest() == content[:32]:
        return content[32:]
    notify(log, f"{file} is damaged: compiling again")
    return None


def write(file: Path, content: bytes) -> None:
    """Put a file into the cache."""
    try:
        write_bytes(file, hashlib.sha256(content).digest() + content)
    except OSError as error:  # a full disk, a folder that has become read-only
        notify(log, f"{file} cannot be written: {error}")
