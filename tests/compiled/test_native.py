"""Kernels as C functions: compiled once, loaded without Numba, rejected if they could crash the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import topokd
from topokd.compiled.native import Native

SOURCE = """
from topokd.compiled.jit import jit_no_refcount
@jit_no_refcount
def square(x):
    return x * x
def squares(numbers, count, out):
    for k in range(count):
        out[k] = square(numbers[k])
    return count
"""
SCRIPT = """
import sys, numpy as np
from topokd.compiled.native import Native
squares = Native("nativekernels.one.squares", "float64* int64 float64*")
x, y = np.arange(4.0), np.zeros(4)
print(squares(x.ctypes.data, 4, y.ctypes.data), y.tolist(), "numba" in sys.modules)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "nativekernels"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "one.py").write_text(SOURCE)
    return folder


def call(project: Path, cache: Path) -> tuple[str, str]:
    path = os.pathsep.join([str(project.parent), str(Path(topokd.__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": path, "TOPOKD_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def test_a_module_is_compiled_once_with_a_notice_and_then_loaded_without_numba(project: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    value, said = call(project, cache)
    assert value == "4 [0.0, 1.0, 4.0, 9.0] True" and said.count("compiling kernels of nativekernels ") == 1
    assert call(project, cache) == ("4 [0.0, 1.0, 4.0, 9.0] False", "")
    (file,) = cache.glob("nativekernels-*/*.o")
    file.write_bytes(file.read_bytes()[:-3])
    value, said = call(project, cache)
    assert value.startswith("4 [0.0, 1.0") and "damaged" in said
    (project / "one.py").write_text(SOURCE.replace("x * x", "x * x + 1"))
    assert call(project, cache)[0].startswith("4 [1.0, 2.0")


def test_a_function_that_allocates_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "allocating.py").write_text(
        "import math\ndef work(numbers, count):\n    return int(math.gamma(numbers[0]))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RuntimeError, match=r"allocating.work needs \w*gamma"):
        Native("allocating.work", "float64* int64").function  # noqa: B018
