"""The wheel in an empty environment that has its declared core dependencies and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tools.pins import closure, requirements

FORBIDDEN = ("dvc", "jupyterlab", "gph", "pandas", "matplotlib", "plotly", "pyarrow", "papermill")
LIBRARY = ("topology", "distillation", "models", "data", "datasets", "synthetic", "evaluation", "training")
Run = Callable[[str], str]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built from a copy of its tracked and new files."""
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    wanted = ["topokd", "pyproject.toml", "README.md", "LICENSE"]
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *wanted]
    listed = subprocess.run(git, cwd=PROJECT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, listed):
        if (PROJECT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((PROJECT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(output), str(source)], check=True, capture_output=True)
    return next(output.glob("topokd-*.whl"))


@pytest.fixture(scope="module")
def run(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run Python code in a new environment with the wheel and the packages that its metadata requires.

    Those packages are linked from this environment instead of downloaded again (torch alone is 200 MB). They are the
    ones that pip would install, found by following each package's own metadata.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    site = next(folder.glob("lib/python*/site-packages"))
    for name in closure(requirements()):
        package = distribution(name)
        for top in {Path(str(file)).parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(package.locate_file(top))))
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    install = ["install", "--quiet", "--no-index", str(wheel)]  # dependencies are checked: one that is missing fails
    done = subprocess.run([*pip, *install], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    def run_code(code: str) -> str:
        done = subprocess.run(
            [python, "-c", code], cwd=folder, env={"PATH": "", "HOME": str(folder)}, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        return done.stdout

    return run_code


pytestmark = [pytest.mark.package, pytest.mark.timeout(1200)]  # Numba compiles the kernels once more


def test_the_wheel_brings_no_part_of_the_compendium(run: Run):
    printed = run(f"from importlib.util import find_spec; print([n for n in {FORBIDDEN} if find_spec(n)])")
    assert printed.strip() == "[]"


@pytest.mark.parametrize("package", LIBRARY)
def test_the_library_imports_with_the_core_dependencies(run: Run, package: str):
    names = run(f"import topokd.{package} as p; print([n for n in p.__all__ if not hasattr(p, n)])")
    assert names.strip() == "[]"


def test_importing_the_topology_layer_adds_little_to_torch(run: Run):
    """Under 2 s in all on a quiet machine, nearly all of it torch; the difference holds on a loaded one too."""
    times = run(
        "import time; a = time.process_time(); import torch; b = time.process_time(); import topokd.topology\n"
        "print(b - a, time.process_time() - b)"
    )
    torch_alone, ours = map(float, times.split())
    assert ours < 0.3 * torch_alone + 0.1, f"torch {torch_alone:.2f} s, topokd.topology {ours:.2f} s"


def test_the_readmes_snippets_run(run: Run):
    snippets = re.findall(r"```python\n(.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL)
    assert snippets
    for snippet in snippets:
        run(snippet)


def test_every_data_file_of_the_package_is_in_the_wheel(run: Run):
    listed = subprocess.run(
        ["git", "ls-files", "topokd"], cwd=PROJECT, check=True, capture_output=True, text=True
    ).stdout.split()
    wanted = sorted(
        name for name in listed if not name.endswith((".py", ".ipynb", ".md")) and (PROJECT / name).exists()
    )
    code = (
        "import pathlib, topokd; top = pathlib.Path(topokd.__file__).parents[1]\n"
        f"print([name for name in {wanted} if not (top / name).exists()])"
    )
    assert run(code).strip() == "[]"


def test_degree_two_without_giotto_ph_names_the_extra(run: Run):
    code = (
        "import torch\nfrom topokd.topology import vietoris_rips\nfrom topokd.errors import TopokdError\n"
        "try:\n    vietoris_rips(torch.rand(8, 3), max_dim=2)\nexcept TopokdError as error:\n    print(error)"
    )
    assert "topokd[giotto]" in run(code)


def test_the_command_line_starts_with_the_core_dependencies(run: Run):
    assert "predict" in run(
        "import sys; sys.argv = ['topokd', '--help']\nfrom topokd.cli import main\ntry: main()\nexcept SystemExit: pass"
    )
