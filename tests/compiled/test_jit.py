"""Compiling kernels, and the cache: its keys, its folder, and how it recovers from damaged files."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core.compiler import Flags

from tests.conftest import PROJECT
from topokd.compiled import cache as cache_module
from topokd.compiled import jit as jit_module
from topokd.compiled.cache import announce

KERNELS = {
    "inner.py": "from topokd.compiled.jit import jit\n@jit\ndef inner(x):\n    return x + 1\n",
    "outer.py": (
        "from topokd.compiled.jit import jit\nfrom {package}.inner import inner\n"
        "@jit\ndef outer(x):\n    return 2 * inner(x)\n"
    ),
}

OF_NUMBA = ("TOPOKD_CACHE", "NUMBA_CACHE_DIR", "NUMBA_BOUNDSCHECK")
"""Variables that these tests set themselves, where they do."""


def call(project: Path, cache: Path | None, **environment: str) -> tuple[str, str]:
    """The result of `outer(1)` in a new process, and its log."""
    if cache is not None:
        environment["TOPOKD_CACHE"] = str(cache)
    clean = {name: value for name, value in os.environ.items() if name not in OF_NUMBA}
    script = f"from {project.name}.outer import outer; print(outer(1))"
    path = os.pathsep.join([str(project.parent), str(PROJECT)])
    done = subprocess.run(
        [sys.executable, "-c", script], env={**clean, "PYTHONPATH": path, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "somekernels"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    for name, source in KERNELS.items():
        (folder / name).write_text(source.format(package=folder.name))
    return folder


def test_the_lock_of_an_editor_is_no_source(project: Path) -> None:
    before = cache_module.digest(project)
    (project / ".#inner.py").symlink_to("user@host.1234:5678")
    cache_module.digest.cache_clear()
    assert cache_module.digest(project) == before


def files(cache: Path) -> list[Path]:
    return sorted(cache.glob("somekernels-*/*.nbc"))


@pytest.mark.long
def test_kernels_compile_once_with_a_notice_and_again_after_damage_or_a_change_of_a_callee(
    project: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    value, said = call(project, cache)
    assert value == "4" and said.count("compiling kernels of somekernels ") == 1 and "warm-up" in said
    assert str(project) not in said  # notebooks with this output are committed
    assert {file.name.split("-")[0] for file in files(cache)} == {"inner.inner", "outer.outer"}
    assert call(project, cache) == ("4", "")

    for file in files(cache):
        file.write_bytes(file.read_bytes()[:-7])
    value, said = call(project, cache)
    assert value == "4" and "damaged" in said
    assert call(project, cache) == ("4", "")

    before = files(cache)
    (project / "inner.py").write_text((project / "inner.py").read_text().replace("x + 1", "x + 10"))
    assert call(project, cache)[0] == "22"
    assert set(before) < set(files(cache))  # nothing is deleted: other processes may be using it


def test_without_a_writable_home_the_cache_is_a_private_temporary_folder(project: Path, tmp_path: Path) -> None:
    environment = {"HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none", "TMPDIR": str(tmp_path)}
    assert call(project, None, **environment)[0] == "4"
    assert len(files(tmp_path / f"topokd-{os.getuid()}")) == 2


def test_without_a_writable_folder_kernels_compile_and_the_warning_names_the_variable(
    project: Path, tmp_path: Path
) -> None:
    planted = tmp_path / f"topokd-{os.getuid()}"
    planted.symlink_to(project)  # a folder in /tmp that another user could control is not used
    environment = {"HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none", "TMPDIR": str(tmp_path)}
    value, said = call(project, None, **environment)
    assert value == "4" and "TOPOKD_CACHE" in said
    assert not list(project.glob("**/*.nbc"))


def test_a_folder_that_others_can_write_to_gets_a_private_subfolder(project: Path, tmp_path: Path) -> None:
    """What is in the cache is executed."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    call(project, shared)
    own = shared / f"topokd-{os.getuid()}"
    assert len(files(own)) == 2 and not files(shared) and own.stat().st_mode & 0o777 == 0o700
    own.chmod(0o770)  # a group may write there: nothing in it can be trusted
    home = tmp_path / "home"
    value, said = call(project, shared, XDG_CACHE_HOME="", HOME=str(home))
    assert value == "4" and f"{shared} is not used for compiled kernels" in said
    assert len(files(home / ".cache/topokd")) == 2


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_files_and_folders_of_another_user_are_not_trusted(project: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    call(project, cache)
    outer = files(cache)[1]
    os.chown(outer, 65534, 65534)
    value, said = call(project, cache)
    assert value == "4" and f"{outer} belongs to another user" in said
    assert outer.stat().st_uid == 0 and call(project, cache) == ("4", "")
    os.chown(cache, 65534, 65534)
    call(project, cache)
    assert len(files(cache / "topokd-0")) == 2


def test_a_link_to_a_folder_of_the_same_user_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ~/.cache on a disk of the node; but in the folder of temporary files anyone can put a link."""
    disk, link = tmp_path / "disk", tmp_path / "below/link"
    for folder in (disk, link.parent):
        folder.mkdir(mode=0o700)
    link.symlink_to(disk)
    assert cache_module.private_folder(link) == link
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(link.parent))
    assert cache_module.private_folder(link) is None


def test_a_file_of_another_key_is_not_used(project: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    call(project, cache)
    inner, outer = files(cache)
    outer.write_bytes(inner.read_bytes())
    assert call(project, cache)[0] == "4"


def test_processes_that_compile_at_the_same_time_agree(project: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    environment = {**os.environ, "TOPOKD_CACHE": str(cache), "PYTHONPATH": str(project.parent)}
    environment["PYTHONPATH"] += os.pathsep + str(PROJECT)
    script = f"from {project.name}.outer import outer; print(outer(1), outer(1.5))"
    running = [
        subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate()[0].strip() for process in running] == ["4 5.0"] * 3
    assert len(files(cache)) == 4 and not list(cache.glob("*/.*"))


def test_code_with_and_without_bounds_checks_has_separate_caches(project: Path, tmp_path: Path) -> None:
    """Otherwise the debug build would run the cached fast code, and a later fast run the slow one."""
    (project / "inner.py").write_text(
        "from topokd.compiled.jit import jit\nimport numpy as np\n"
        "@jit\ndef at(a, i):\n    return a[i]\ndef inner(x):\n    return x\n"
    )
    (project / "outer.py").write_text(
        f"import numpy as np\nfrom {project.name}.inner import at\n"
        "def outer(x):\n    try:\n        at(np.zeros(3), 5)\n    except IndexError:\n        return 'checked'\n"
        "    return 'unchecked'\n"
    )
    cache = tmp_path / "cache"
    assert call(project, cache)[0] == "unchecked"
    assert call(project, cache, NUMBA_BOUNDSCHECK="1")[0] == "checked"
    assert call(project, cache)[0] == "unchecked"
    assert len(files(cache)) == 2


def test_notices_of_compilation_stay_out_of_executed_notebooks(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """The pipeline shows them with the progress: the bytes of a notebook must not depend on what is compiled."""
    progress = tmp_path / "progress.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOPOKD_PROGRESS", str(progress))
        announce("topokd.unheard_of", 7)
    announce("topokd.heard_of", 7)
    assert "unheard_of" in progress.read_text() and "unheard_of" not in caplog.text
    assert "topokd.heard_of" in caplog.text


def test_a_machine_without_any_folder_of_temporary_files_compiles_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose file systems are all read-only: `tempfile` raises."""

    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none)
    for variable in ("TOPOKD_CACHE", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(variable, "/proc/none")
    assert cache_module.cache_root.__wrapped__() is None


def test_a_chosen_folder_is_used_although_there_is_none_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: (_ for _ in ()).throw(FileNotFoundError("none")))
    monkeypatch.setenv("TOPOKD_CACHE", str(tmp_path / "cache"))
    assert cache_module.cache_root.__wrapped__() == tmp_path / "cache"


def test_kernels_that_are_not_to_be_compiled_raise_a_clear_error() -> None:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(PROJECT)}
    script = "from topokd.cli import main; import sys; sys.argv = ['topokd', 'warm-up']; main()"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error: NUMBA_DISABLE_JIT is set")


def test_options_of_kernels_are_equal_to_those_of_numba_in_both_directions() -> None:
    own, numbas = jit_module._Flags(), Flags()
    assert own == numbas and numbas == own and hash(own) == hash(numbas)
    numbas.fastmath, numbas.nrt = {"nnan"}, True
    assert own != numbas and numbas != own
    own.nrt, own.fastmath = True, {"nnan"}
    own.boundscheck = False  # the default, which the other one has not set
    assert own == numbas and numbas == own and hash(own) == hash(numbas)
    assert own.copy() == own and own != "flags"


@pytest.mark.parametrize("own", [700, 1_000_000, 0])
def test_garbage_is_collected_less_often_while_compiling_and_as_before_afterwards(own: int) -> None:
    before = gc.get_threshold()
    try:
        gc.set_threshold(own, *before[1:])
        with pytest.raises(ZeroDivisionError), jit_module._few_collections(5000):
            assert gc.get_threshold()[0] == (max(own, 5000) if own else 0)
            1 / 0  # noqa: B018 - compiling fails
        assert gc.get_threshold()[0] == own
    finally:
        gc.set_threshold(*before)


def test_a_cache_folder_is_the_same_from_every_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shell expands ~ in a job script's quotes, and each working folder got a folder of that name."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for given, folder in (("~/kernels", tmp_path / "home/kernels"), ("kernels", tmp_path / "kernels")):
        monkeypatch.setenv("TOPOKD_CACHE", given)
        monkeypatch.chdir(tmp_path)
        assert next(cache_module.cache_roots()) == folder
