"""Compile settings of all Numba kernels, and the cache of the compiled code.

Numba's own cache is in the source folder, which may be read-only in a container; it does not notice changes in other
files (a callee, a constant); and its index can mix up signatures that two processes compile at the same time. Here
each compiled function is one file, in the first writable folder of `$TOPOKD_CACHE`, `$NUMBA_CACHE_DIR/topokd`,
`$XDG_CACHE_HOME/topokd`, `~/.cache/topokd`, and a private folder in the temporary directory. Its subfolder is named by
a digest of everything but the signature that the machine code depends on: sources, versions, Numba's settings,
processor. So a file is never out of date or overwritten by different code. Files are never deleted, because other tasks
may be using them.
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

SETTINGS = ("BOUNDSCHECK", "OPT", "DEBUGINFO_DEFAULT", "CPU_NAME", "CPU_FEATURES", "ENABLE_AVX", "LOOP_VECTORIZE")
"""Numba's settings (environment variables ``NUMBA_...``) that change the machine code."""

SECONDS = {"kernels": 60, "data": 10, "synthetic": 15}
"""About how long it takes to compile all kernels of a package on one core; a call compiles some of them."""


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: `numba.njit` with this module's cache, releasing the global interpreter lock.

    Args:
        options: further options of `numba.njit`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = njit(nogil=True, **options)(function)
        dispatcher._cache = KernelCache(dispatcher.py_func)
        return dispatcher

    return decorate


jit: Any = compiled()
jit_no_refcount: Any = compiled(_nrt=False)
"""For helpers that neither allocate nor return arrays: their arguments are not reference-counted."""
jit_numpy_errors: Any = compiled(error_model="numpy")
"""For loops with divisors that are never zero: divisions are not checked."""


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
            yield Path(os.environ[variable]) / subfolder
    with contextlib.suppress(RuntimeError):  # no $HOME, and no entry for the user in /etc/passwd
        yield Path.home() / ".cache" / "topokd"
    yield Path(tempfile.gettempdir()) / f"topokd-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"


@functools.cache
def cache_root() -> Path | None:
    """The first of `cache_roots` that this user can write to and no other user can; None if there is none."""
    for root in cache_roots():
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            private = root.parent != Path(tempfile.gettempdir()) or _is_ours(root)
        except OSError:
            continue
        if private and os.access(root, os.R_OK | os.W_OK | os.X_OK):
            return root
    log.warning(
        "no folder for compiled kernels is writable (tried %s), so each process compiles them again: "
        "set TOPOKD_CACHE to a writable folder",
        ", ".join(map(str, cache_roots())),
    )
    return None


def _is_ours(folder: Path) -> bool:
    """Whether only this user can have put files there; cached files are unpickled."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and (
        not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)
    )


@functools.cache
def digest(folder: Path) -> str:
    """SHA-256 of everything that the machine code of a folder's kernels depends on: sources, versions, processor.

    Args:
        folder: the sources; a kernel calls only functions of its own folder.
    """
    features = binding.get_host_cpu_features().flatten()
    versions = (numba.__version__, llvmlite.__version__, sys.version, platform.machine(), binding.get_host_cpu_name())
    settings = tuple(getattr(numba.config, name, None) for name in SETTINGS)
    content = hashlib.sha256(repr((*versions, features, *settings)).encode())
    for source in [Path(__file__), *sorted(folder.glob("*.py"))]:
        content.update(hashlib.sha256(source.read_bytes()).digest())
    return content.hexdigest()


def cached_folder(source: Path) -> Path | None:
    """The folder for the compiled functions of a source file; None without a writable cache."""
    root = cache_root()
    return None if root is None else root / f"{source.parent.name}-{digest(source.parent)[:20]}"


@functools.cache
def _announce(package: str) -> None:
    log.warning(
        "compiling kernels of %s that are not cached yet: up to about %d s, once; "
        "`topokd warm-up` compiles all kernels in advance",
        package,
        SECONDS.get(package.rpartition(".")[2], 30),
    )


class _Reduction(CompileResultCacheImpl):
    """Numba's conversion of compiled functions to and from picklable objects, without its search for a cache folder."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._lineno = function.__code__.co_firstlineno
        self._filename_base = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        self._locator = self
        self._py_file = function.__code__.co_filename  # for Numba's warnings


class KernelCache(FunctionCache):
    """One file per function and signature: the SHA-256 of the rest, then the pickled key and compiled function.

    A file that is damaged or has another key is replaced after compiling again. Without a writable cache, compiled
    functions are kept in memory only.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = repr(function)
        self._py_func = function
        self._impl = _Reduction(function)
        self._source = Path(function.__code__.co_filename)
        self.enable()

    @property
    def cache_path(self) -> str:
        """The folder of the files; empty if there is none."""
        return str(cached_folder(self._source) or "")

    def flush(self) -> None:
        """Do nothing: files are never out of date."""

    def file(self, key: tuple[Any, ...]) -> Path | None:
        """The file for a key, Numba's tuple of signature, processor and bytecode."""
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
                log.warning("%s is damaged: compiling again", file)
        except FileNotFoundError:
            pass
        except Exception as error:  # unpickling unknown content can raise anything
            log.warning("%s cannot be read (%s): compiling again", file, error)
        _announce(self._py_func.__module__.rpartition(".")[0])
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
