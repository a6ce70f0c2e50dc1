"""`topokd warm-up` leaves nothing to compile."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

from numba.core.dispatcher import Dispatcher
from typer.testing import CliRunner

import topokd
from topokd.cli import app
from topokd.compiled.cache import cached_folder
from topokd.compiled.jit import KernelCache
from topokd.topology.native import NATIVES


def kernels() -> Iterator[Dispatcher]:
    """Every compiled function with a cache; helpers and inlined ones are compiled as parts of these."""
    root = Path(topokd.__file__).parent
    for source in sorted(root.rglob("*.py")):
        if "@jit" in (text := source.read_text()) or "@compiled(" in text:
            module = importlib.import_module(".".join(("topokd", *source.relative_to(root).with_suffix("").parts)))
            for value in vars(module).values():
                own = isinstance(value, Dispatcher) and value.py_func.__module__ == module.__name__
                if own and isinstance(value._cache, KernelCache) and value.targetoptions.get("inline") != "always":
                    yield value


def test_every_kernel_of_the_package_is_in_the_cache_afterwards() -> None:
    result = CliRunner().invoke(app, ["warm-up"])
    assert result.exit_code == 0, result.output
    assert "all kernels are compiled, in " in result.output
    functions = list(kernels())
    assert len(functions) > 50
    missing = []
    for kernel in functions:
        folder = cached_folder(Path(kernel.py_func.__code__.co_filename))
        name = f"{kernel.py_func.__module__.rpartition('.')[2]}.{kernel.py_func.__qualname__}"
        if folder is None or not list(folder.glob(f"{name}-*.nbc")):
            missing.append(name)
    missing += [f"{kernel.module}.{kernel.name}" for kernel in NATIVES if not (kernel.file() or Path("none")).exists()]
    assert not missing
