"""A project folder that is renamed after it was set up: the programs of its .venv run, and stages stay done."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT


def set_up(folder: Path) -> None:
    """A .venv with one program and an editable install, as pip leaves them, without packages."""
    (folder / "tools").mkdir(parents=True)
    shutil.copy(PROJECT / "tools/relocate.sh", folder / "tools")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / ".venv")], check=True)
    (folder / "own.py").write_text("print('own module')\n")
    (packages,) = (folder / ".venv/lib").glob("python*/site-packages")
    (packages / "__editable__.own.pth").write_text(f"{folder}\n")
    program = folder / ".venv/bin/own"
    program.write_text(f"#!{folder}/.venv/bin/python\nimport own\n")
    program.chmod(0o755)


def relocate(folder: Path) -> str:
    done = subprocess.run([folder / "tools/relocate.sh"], check=True, capture_output=True, text=True)
    assert done.stdout == ""  # make would take it for a part of the Makefile
    return done.stderr


@pytest.mark.parametrize("name", ["new", "a name & [odd] (one) | $x", "project-2"])
def test_programs_run_after_a_rename(tmp_path: Path, name: str):
    old, new = tmp_path / "project", tmp_path / name
    set_up(old)
    (old / ".venv/pyvenv.cfg").open("a").write(f"other = {old}-of-somebody-else\n")
    assert relocate(old) == ""
    old.rename(new)
    assert "correcting" in relocate(new)
    text = (new / ".venv/bin/activate").read_text()
    assert str(old / ".venv") not in text
    assert f"{old}-of-somebody-else" in (new / ".venv/pyvenv.cfg").read_text()
    assert relocate(new) == ""
    if " " not in name:  # the first line of a program has no room for spaces: pip writes another one there
        assert subprocess.run([new / ".venv/bin/own"], capture_output=True, text=True).stdout == "own module\n"


def test_a_venv_of_another_checkout_stays_as_it_is(tmp_path: Path):
    set_up(tmp_path / "one")
    shutil.copytree(tmp_path / "one/tools", tmp_path / "two/tools")
    (tmp_path / "two/.venv").symlink_to(tmp_path / "one/.venv")
    assert relocate(tmp_path / "two") == ""
    assert subprocess.run([tmp_path / "two/.venv/bin/own"]).returncode == 0
