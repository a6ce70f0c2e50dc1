"""Compile settings of all Numba kernels; compiled code is kept as `topokd.compiled.cache` says."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import logging
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from llvmlite import binding
from numba import njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder, Flags
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.dispatcher import _FunctionCompiler  # type: ignore[attr-defined]
from numba.core.serialize import dumps
from numba.core.typed_passes import NativeLowering

from topokd.compiled.cache import announce, cached_folder, read, write
from topokd.errors import ParameterError
from topokd.progress import notify

log = logging.getLogger(__name__)


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: `numba.njit` with this module's cache, releasing the global interpreter lock.

    Args:
        options: further options of `numba.njit`.

    Raises:
        ParameterError: NUMBA_DISABLE_JIT is set, when a function is decorated.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher: Any = njit(nogil=True, **options)(function)
        if dispatcher is function:
            raise ParameterError(
                "NUMBA_DISABLE_JIT is set, but kernels are too slow to be interpreted: unset it (a kernel's slow twin "
                "and `NUMBA_BOUNDSCHECK=1` help to find faults)"
            )
        _Compiler.take_over(dispatcher)
        dispatcher._cache = KernelCache(dispatcher.py_func)
        return dispatcher

    return decorate


jit: Any = compiled()


def jit_part(function: Callable[..., Any], **options: Any) -> Any:
    """For helpers that kernels call.

    Only kernels can call them: they are compiled as parts of these, which takes a fraction of the time, and have no
    wrapper for Python.

    Args:
        function: the helper.
        options: further options of `numba.njit`.

    Raises:
        TypeError: the helper is called from Python.
    """

    def refuse(*_: Any, **__: Any) -> Any:
        raise TypeError(f"{function.__qualname__} is compiled for other kernels only: call it in one, or its py_func")

    settings: dict[str, Any] = {"nogil": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, **options}
    helper: Any = njit(pipeline_class=_PartCompiler, **settings)(function)
    _Compiler.take_over(helper)
    # what Numba does with a compiled function, and what it calls when Python's arguments match none
    helper.add_overload = lambda result: helper.overloads.update({tuple(result.signature.args): result})
    helper._compile_for_args = refuse
    return helper


def jit_no_refcount(function: Callable[..., Any], **options: Any) -> Any:
    """`jit_part` for helpers that neither allocate nor return arrays: their arguments are not reference-counted."""
    return jit_part(function, _nrt=False, **options)


class _Flags(Flags):
    """Numba's options for compiling a function, equal to and hashed like Numba's own, but faster."""

    __slots__ = ()
    _defaults: ClassVar[dict[str, Any]] = {name: option.default for name, option in Flags.options.items()}
    _hash = hash(Flags())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Flags) and {**self._defaults, **self._values} == {**self._defaults, **other._values}

    def __hash__(self) -> int:
        return self._hash


class _Compiler(_FunctionCompiler):
    """Numba's compiler of a function, without two of its costs.

    Numba looks for the implementation of each operator among those that are known for the same types and options. All
    options have the same hash, so they are compared tens of thousands of times.

    Python's garbage collector goes through all objects again and again while Numba makes many that stay; here it waits
    for more.
    """

    OBJECTS_PER_COLLECTION = 100_000

    def _customize_flags(self, flags: Flags) -> Flags:
        return _Flags(flags)

    def compile(self, args: Any, return_type: Any) -> Any:
        with _few_collections(self.OBJECTS_PER_COLLECTION):
            return super().compile(args, return_type)

    @classmethod
    def take_over(cls, dispatcher: Any) -> None:
        """Compile Numba's function this way."""
        dispatcher._compiler.__class__ = cls


@contextlib.contextmanager
def _few_collections(objects: int) -> Iterator[None]:
    """Collect garbage only after so many new objects, if at all."""
    before = gc.get_threshold()
    if before[0] > 0:  # 0: never
        gc.set_threshold(max(before[0], objects), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Part(JITCodeLibrary):
    """LLVM's code of a helper and its callees, to be linked into kernels.

    Numba would optimise it, and translate it into machine code that is never called, and repeat this for each level of
    callers.
    """

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _PartLowering(NativeLowering):
    """Lowers a helper to LLVM's code, which its callers find."""

    _name = "topokd_part_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _Part(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        key = object()  # by which callers look it up, in place of a function of Python
        state.targetctx.insert_user_function(key, state["cr"].fndesc, [state.library])
        state["cr"] = state["cr"]._replace(cfunc=key)
        return True


class _PartCompiler(CompilerBase):
    """Numba's compiler with `_PartLowering`."""

    def define_pipelines(self) -> list[PassManager]:
        """One pipeline: Numba's, up to the machine code."""
        manager = PassManager("topokd_part")
        builder = DefaultPassBuilder
        for part in (builder.define_untyped_pipeline, builder.define_typed_pipeline):
            manager.passes.extend(part(self.state).passes)
        manager.passes.extend(
            (_PartLowering if step is NativeLowering else step, name)
            for step, name in builder.define_nopython_lowering_pipeline(self.state).passes
        )
        manager.finalize()
        return [manager]


def compiled_part(function: Callable[..., Any], signature: Any) -> tuple[str, Any]:
    """A function that neither allocates nor raises, with its callees, as LLVM's optimised code.

    Args:
        function: a function that Numba can compile.
        signature: signature of Numba.

    Returns:
        Its name, and a module of llvmlite in which it is the only function that can be called from outside.
    """
    helper = jit_no_refcount(function, error_model="numpy")
    with global_compiler_lock:
        helper.compile(signature)
        (result,) = helper.overloads.values()
        name, library = result.fndesc.llvm_func_name, result.library
        library.finalize()  # links the callees
        module = library._final_module
        for part in module.functions:
            if not part.is_declaration and part.name != name:
                part.linkage = "internal"
        passes = binding.create_new_module_pass_manager()
        passes.add_global_dead_code_eliminate_pass()
        passes.run(module, binding.create_pass_builder(library.codegen._tm, binding.create_pipeline_tuning_options()))
        JITCodeLibrary._optimize_final_module(library)
    return name, module


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
                stored_key, reduced = pickle.loads(content)
                if stored_key == key:
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
