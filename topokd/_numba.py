"""Compile settings of all Numba kernels, and the cache of what they were compiled to.

Numba's own cache lies beside the sources, which a container may not be able to write; it does not notice changes in
other files (a callee, a constant); and its index can mix up signatures that two processes compile at once. Here each
compiled function is one file, in the first of these folders that can be written: `$TOPOKD_CACHE`, `$NUMBA_CACHE_DIR`,
`$XDG_CACHE_HOME/topokd`, `~/.cache/topokd`, a private folder in the temporary one. The name of its subfolder is a
digest of all that machine code depends on but its signature: sources, versions, processor. So a file is never out of
date, never overwritten by different code, and never deleted: other tasks may be using it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import pickle
import platform
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
from llvmlite import binding
from numba import njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.serialize import dumps

from topokd.io import write_bytes

log = logging.getLogger(__name__)

SECONDS = {"kernels": 60, "data": 10, "synthetic": 15}
"""About how long compiling all kernels of a folder takes on one core; what a call needs is a part of it."""


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: `numba.njit` without the global interpreter lock, with the cache of this module.

    Args:
        options: more options of `numba.njit`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = njit(nogil=True, **options)(function)
        dispatcher._cache = KernelCache(function)
        return dispatcher

    return decorate


jit: Any = compiled()
jit_no_refcount: Any = compiled(_nrt=False)
"""For helpers that neither allocate nor return arrays: their arguments are not reference-counted."""
jit_numpy_errors: Any = compiled(error_model="numpy")
"""For loops with divisors that are never zero: divisions are not checked."""


def cache_roots() -> Iterator[Path]:
    """The folders that may hold the cache, the preferred one first.

    Examples:
        >>> os.environ["TOPOKD_CACHE"] = "/scratch/topokd"
        >>> next(cache_roots()).as_posix()
        '/scratch/topokd'
        >>> del os.environ["TOPOKD_CACHE"]
    """
    for variable, subfolder in (("TOPOKD_CACHE", ""), ("NUMBA_CACHE_DIR", "topokd"), ("XDG_CACHE_HOME", "topokd")):
        if os.environ.get(variable):
            yield Path(os.environ[variable]) / subfolder
    with contextlib.suppress(RuntimeError):  # neither $HOME nor an entry of the user in /etc/passwd
        yield Path.home() / ".cache" / "topokd"
    yield Path(tempfile.gettempdir()) / f"topokd-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"


@functools.cache
def cache_root() -> Path | None:
    """The first of `cache_roots` that can be written and that nobody else can write; None if there is none."""
    for root in cache_roots():
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            private = root.parent != Path(tempfile.gettempdir()) or _is_ours(root)
        except OSError:
            continue
        if private and os.access(root, os.R_OK | os.W_OK | os.X_OK):
            return root
    log.warning(
        "no folder for compiled kernels can be written (tried %s): they will be compiled again in each process. "
        "Set TOPOKD_CACHE to a folder that can be",
        ", ".join(map(str, cache_roots())),
    )
    return None


def _is_ours(folder: Path) -> bool:
    """Whether nobody else can have put a file there: cached files are unpickled."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and (
        not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)
    )


@functools.cache
def digest(folder: Path) -> str:
    """SHA-256 of what the machine code of a folder's kernels depends on: sources, versions, processor.

    Args:
        folder: the folder of the sources. Kernels call only functions of their own folder.
    """
    features = binding.get_host_cpu_features().flatten()
    versions = (numba.__version__, llvmlite.__version__, sys.version, platform.machine(), binding.get_host_cpu_name())
    content = hashlib.sha256(repr((*versions, features)).encode())
    for source in [Path(__file__), *sorted(folder.glob("*.py"))]:
        content.update(hashlib.sha256(source.read_bytes()).digest())
    return content.hexdigest()


def cached_folder(source: Path) -> Path | None:
    """Where the compiled functions of a source file lie, None if nowhere."""
    root = cache_root()
    return None if root is None else root / f"{source.parent.name}-{digest(source.parent)[:20]}"


@functools.cache
def _announce(folder: Path) -> None:
    log.warning(
        "compiling kernels in %s, not in the cache yet: up to about %d s, once; `topokd warm-up` compiles all ahead",
        folder,
        SECONDS.get(folder.name, 30),
    )


class _Reduction(CompileResultCacheImpl):
    """Numba's translation of compiled functions to and from what can be pickled, without its search for a folder."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._lineno = function.__code__.co_firstlineno
        self._filename_base = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        self._locator = self
        self._py_file = function.__code__.co_filename  # that a warning names


class KernelCache(FunctionCache):
    """One file per function and signature: a SHA-256, then the pickled key and compiled function that it is of.

    A file that is damaged or of another key is compiled again and replaced. What cannot be saved stays in memory.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = repr(function)
        self._py_func = function
        self._impl = _Reduction(function)
        self._source = Path(function.__code__.co_filename)
        self.enable()

    @property
    def cache_path(self) -> str:
        """The folder of the files, empty if there is none."""
        return str(cached_folder(self._source) or "")

    def flush(self) -> None:
        """Nothing: files are never out of date."""

    def file(self, key: tuple[Any, ...]) -> Path | None:
        """The file of a key, Numba's tuple of signature, processor and bytecode."""
        folder = cached_folder(self._source)
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        return None if folder is None else folder / f"{self._impl.filename_base}-{name}.nbc"

    def _load_overload(self, sig: Any, target_context: Any) -> Any:
        if not self._enabled:
            return None
        key = self._index_key(sig, target_context.codegen())
        file = self.file(key)
        try:
            if file is not None:
                content = file.read_bytes()
                if hashlib.sha256(content[32:]).digest() == content[:32]:
                    found, reduced = pickle.loads(content[32:])
                    if found == key:
                        return self._impl.rebuild(target_context, reduced)
                log.warning("%s is damaged: it is compiled again", file)
        except FileNotFoundError:
            pass
        except Exception as error:  # whatever a file of unknown content may raise
            log.warning("%s cannot be read (%s): it is compiled again", file, error)
        _announce(self._source.parent)
        return None

    def _save_overload(self, sig: Any, data: Any) -> None:
        key = self._index_key(sig, data.codegen)
        file = self.file(key)
        if file is None or not self._enabled or not self._impl.check_cachable(data):
            return
        content = dumps((key, self._impl.reduce(data)))
        try:
            write_bytes(file, hashlib.sha256(content).digest() + content)
        except OSError as error:  # a full disk, a folder that has become read-only
            log.warning("%s cannot be written: %s", file, error)
