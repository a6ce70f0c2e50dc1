"""Compile settings of all Numba kernels; compiled code is kept as `topokd._kernel_cache` says."""

from __future__ import annotations

import hashlib
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.serialize import dumps

from topokd._kernel_cache import announce, cached_folder, read, write
from topokd.progress import notify

log = logging.getLogger(__name__)


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


def jit_no_refcount(function: Callable[..., Any], **options: Any) -> Any:
    """For helpers that neither allocate nor return arrays: their arguments are not reference-counted.

    Only kernels can call them: they have no wrapper for Python, which would take longer to compile than the rest.

    Args:
        function: the helper.
        options: further options of `numba.njit`.
    """

    def refuse(*_: Any, **__: Any) -> Any:
        raise TypeError(f"{function.__qualname__} is compiled for other kernels only: call it in one, or its py_func")

    helper = compiled(_nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)(function)
    # what Numba does with a compiled function, and what it calls when Python's arguments match none
    helper.add_overload = lambda result: helper.overloads.update({tuple(result.signature.args): result})
    helper._compile_for_args = refuse
    return helper


jit_numpy_errors: Any = compiled(error_model="numpy")
"""For loops with divisors that are never zero: divisions are not checked."""


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
        content = None if file is None else read(file)
        try:
            if content is not None:
                found, reduced = pickle.loads(content)
                if found == key:
                    return self._impl.rebuild(target_context, reduced)
                notify(log, f"{file} is damaged: compiling again")
        except Exception as error:  # unpickling unknown content can raise anything
            notify(log, f"{file} cannot be read ({error}): compiling again")
        announce(self._py_func.__module__.rpartition(".")[0])
        return None

    def _save_overload(self, sig: Any, data: Any) -> None:
        key = self._index_key(sig, data.codegen)
        file = self.file(key)
        if file is None or not self._enabled or not self._impl.check_cachable(data):
            return
        write(file, dumps((key, self._impl.reduce(data))))
