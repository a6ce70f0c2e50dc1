"""Atomic files."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import PROJECT
from topokd.errors import DataError
from topokd.io import atomic_path, read_json, remove_partial_files, sha256, write_json


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    target = tmp_path / "kept.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half of the new")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_temporary_file_of_a_killed_process_is_removed_later_and_a_recent_one_stays(tmp_path: Path):
    killed = (
        "import os, signal, sys; from topokd.io import atomic_path\n"
        "with atomic_path(sys.argv[1]): os.kill(os.getpid(), signal.SIGKILL)"
    )
    below = tmp_path / "figures"
    subprocess.run([sys.executable, "-c", killed, below / "figure7.svg"], cwd=Path(__file__).parents[1], check=False)
    (left,) = below.iterdir()
    assert left.name.startswith(".part-figure7-") and left.suffix == ".svg"
    assert remove_partial_files(tmp_path) == [] and left.exists()
    two_hours_ago = left.stat().st_mtime - 7200
    os.utime(left, (two_hours_ago, two_hours_ago))
    with atomic_path(tmp_path / "table7.csv") as running:
        running.write_text("half")
        assert remove_partial_files(tmp_path) == [left]
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["figures", "table7.csv"]
    assert remove_partial_files(tmp_path / "missing") == []


def test_a_folder_as_target_raises_before_the_work(tmp_path: Path):
    with pytest.raises(IsADirectoryError, match=tmp_path.name), atomic_path(tmp_path):
        pytest.fail("the block ran")


def test_json_has_no_nan_and_keeps_the_order(tmp_path: Path):
    write_json(tmp_path / "a.json", {"b": float("nan"), "a": np.arange(2), "c": (1.5, np.float64(np.inf))})
    assert read_json(tmp_path / "a.json") == {"b": None, "a": [0, 1], "c": [1.5, None]}
    assert list(read_json(tmp_path / "a.json")) == ["b", "a", "c"]


def test_names_that_are_not_utf8_survive_json(tmp_path: Path):
    name = os.fsdecode(b"Stra\xdfe.bin")
    write_json(tmp_path / "a.json", {name: [name, "\N{EM DASH}"]})
    assert read_json(tmp_path / "a.json") == {name: [name, "\N{EM DASH}"]}


@pytest.mark.parametrize("name", ["\N{CJK UNIFIED IDEOGRAPH-70B9}" * 82, "a" * 249, "\N{GRINNING FACE}" * 60])
def test_any_name_that_the_system_takes_can_be_written(tmp_path: Path, name: str):
    write_json(tmp_path / f"{name}.json", 3)
    assert read_json(tmp_path / f"{name}.json") == 3


def test_names_of_other_scripts_can_be_written_where_the_system_knows_ascii_only(tmp_path: Path):
    """As in a container without a locale, if Python's UTF-8 mode is off."""
    script = "import sys; from topokd.io import write_text; write_text(sys.argv[1], 'three')"
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    path = tmp_path / "Stra\N{LATIN SMALL LETTER SHARP S}e" / "\N{CJK UNIFIED IDEOGRAPH-70B9}.txt"
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, env={**os.environ, **ascii_only}, cwd=PROJECT)
    assert path.read_text() == "three"


def test_missing_and_damaged_json_are_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"absent\.json does not exist"):
        read_json(tmp_path / "absent.json")
    (tmp_path / "half.json").write_text('{"a": 1')
    with pytest.raises(DataError, match=r"half\.json is not valid JSON"):
        read_json(tmp_path / "half.json")


def test_sha256_equals_hashlib(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()


def test_an_error_of_a_library_names_the_path_and_the_cause(tmp_path):
    """NumPy says only how many items fitted; other libraries leave out the path."""
    for raised, number in (
        (OSError("54720 requested and 21472 written"), errno.ENOSPC),
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        (OSError(errno.EIO, "write failed"), errno.EIO),
    ):
        with pytest.raises(OSError) as caught, atomic_path(tmp_path / "labels.npy") as temporary:
            temporary.write_text("half")
            raise raised
        assert caught.value.errno == number and caught.value.filename == str(tmp_path / "labels.npy")
    assert not list(tmp_path.iterdir())


def test_an_error_of_a_reader_inside_the_block_keeps_its_cause(tmp_path):
    raised = OSError("Couldn't deserialize thrift")  # PyArrow's, about a damaged scan
    with pytest.raises(OSError) as caught, atomic_path(tmp_path / "labels.zip"):
        raise raised
    assert caught.value is raised and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o002, 0o664), (0o022, 0o644)])
def test_a_file_has_the_permissions_of_the_umask_or_of_the_file_that_it_replaces(tmp_path, umask, mode):
    file = tmp_path / "a.json"
    before = os.umask(umask)
    try:
        write_json(file, 1)
        assert file.stat().st_mode & 0o777 == mode
        for old, new in ((0o640, 0o640), (0o444, 0o644)):
            file.chmod(old)
            write_json(file, 2)
            assert file.stat().st_mode & 0o777 == new
    finally:
        os.umask(before)
