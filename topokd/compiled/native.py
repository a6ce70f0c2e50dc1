"""Kernels as plain C functions: called without Numba's dispatch, and loaded from the cache without importing Numba.

Numba takes a second to import and to start, and 5 to 20 us per call. A function that only reads and writes memory that
it is given needs none of that once it is compiled: its object code is linked by llvmlite and called through ctypes,
which releases the global interpreter lock.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib
import importlib.util
import inspect
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llvmlite import binding

from topokd.compiled.cache import announcing, cached_folder, read, write

SECONDS = 15  # about how long such kernels take to compile
LINKED = {"memset", "memcpy", "memmove", "sqrt"}  # functions of the C library that object code may call
_lock = threading.RLock()
_engines: list[Any] = []  # object code lives as long as its engine


class Native:
    """A function of a kernel module, compiled when it is first called.

    The function is plain Python in the language of Numba. Its arguments are numbers and pointers, ``a[k]`` is the k-th
    number at a pointer, and it returns an int. It must not allocate, nor raise.

    Args:
        name: module and function, as "topokd.topology.kernels.small.diagrams".
        arguments: types, separated by spaces: int64, float64, or with a star or two a pointer to them, as "float32*".

    Examples:
        >>> add_up = Native("topokd.topology.kernels.native.sum_of", "float64* int64 float64*")
        >>> import numpy as np
        >>> numbers, total = np.arange(5.0), np.zeros(1)
        >>> add_up(numbers.ctypes.data, 5, total.ctypes.data), total
        (0, array([10.]))
    """

    def __init__(self, name: str, arguments: str) -> None:
        self.module, _, self.name = name.rpartition(".")
        self.arguments = arguments.split()

    def __call__(self, *arguments: Any) -> int:
        """Call it; pointers are addresses."""
        return self.function(*arguments)

    @functools.cached_property
    def function(self) -> Callable[..., int]:
        """The C function, for ctypes."""
        with _lock:
            symbol, code = self._object_code()
            address = _link(code).get_function_address(symbol)
        plain: dict[str, Any] = {"int64": ctypes.c_int64, "float64": ctypes.c_double}
        types: list[Any] = [plain.get(argument, ctypes.c_void_p) for argument in self.arguments]
        call = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *types)(address)
        return functools.partial(_call, call)

    def file(self) -> Path | None:
        """Path of the object code in the cache; None without a writable cache."""
        spec = importlib.util.find_spec(self.module)
        folder = cached_folder(Path(str(spec and spec.origin)))
        key = hashlib.sha256(" ".join(self.arguments).encode()).hexdigest()[:16]
        return None if folder is None else folder / f"{self.module.rpartition('.')[2]}.{self.name}-{key}.o"

    def _object_code(self) -> tuple[str, bytes]:
        """The symbol and the object code, from the cache or compiled."""
        file = self.file()
        content = None if file is None else read(file)
        if content is None:
            with announcing(self.module.rpartition(".")[0], SECONDS):
                content = self._compile()
            if file is not None:
                write(file, content)
        symbol, _, code = content.partition(b"\0")
        return symbol.decode(), code

    def _compile(self) -> bytes:
        from numba import types

        from topokd.compiled.jit import compiled_part

        def type_of(argument: str) -> Any:
            kind = getattr(types, argument.rstrip("*"))
            for _ in range(argument.count("*")):
                kind = types.CPointer(kind)
            return kind

        function = inspect.unwrap(getattr(importlib.import_module(self.module), self.name))  # of checks of annotations
        symbol, module = compiled_part(function, types.int64(*map(type_of, self.arguments)))
        unknown = {f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")} - LINKED
        if unknown:  # calling one would end the process
            raise RuntimeError(f"{self.module}.{self.name} needs {', '.join(sorted(unknown))}: it allocates or raises")
        return symbol.encode() + b"\0" + _machine().emit_object(module)


class _Memory(threading.local):
    """Where a function writes its result, and what Numba reserves for errors, which such functions do not have."""

    def __init__(self) -> None:
        self.result, self.error = ctypes.c_int64(), ctypes.c_void_p()
        self.at = ctypes.addressof(self.result), ctypes.addressof(self.error)


_memory = _Memory()


def _call(function: Callable[..., int], *arguments: Any) -> int:
    memory = _memory
    function(*memory.at, *arguments)
    return memory.result.value


def _machine() -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple()
    features = binding.get_host_cpu_features().flatten()
    options = {"cpu": binding.get_host_cpu_name(), "features": features, "codemodel": "jitdefault"}
    return target.create_target_machine(opt=3, reloc="static", jit=True, **options)


def _link(code: bytes) -> Any:
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return engine
