"""Scripts and notebooks stay in step after an edit of either; saving without an edit changes nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from jupytext.sync_contentsmanager import build_sync_jupytext_contents_manager_class

from tests.conftest import PROJECT
from topokd.errors import DataError
from topokd.pipeline.notebook_file import PAIRED_METADATA
from topokd.pipeline.pairing import (
    cleaned_text,
    notebook_scripts,
    notebook_text,
    pair_notebooks,
    unpaired_notebooks,
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project under git with one notebook in both forms."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "params.yaml").write_text("")  # as every project has it
    (tmp_path / "notebooks/n.py").write_text("# %% [markdown]\n# # Title\n\n# %%\na = 1\n")
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    pair_notebooks()
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def edit_notebook(project: Path, source: str) -> None:
    file = project / "notebooks/n.ipynb"
    content = json.loads(file.read_text())
    content["cells"][1]["source"] = [source]
    content["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["1"]}]
    file.write_text(json.dumps(content))


def test_an_edited_script_reaches_the_notebook(project: Path):
    (project / "notebooks/n.py").write_text("# %%\nb = 2\n")
    assert pair_notebooks() == [project / "notebooks/n.ipynb"]
    assert "b = 2" in (project / "notebooks/n.ipynb").read_text()


def test_an_edited_notebook_reaches_the_script(project: Path):
    edit_notebook(project, "c = 3")
    assert pair_notebooks() == [project / "notebooks/n.py"]
    assert (project / "notebooks/n.py").read_text() == "# %% [markdown]\n# # Title\n\n# %%\nc = 3\n"
    assert unpaired_notebooks() == []


def test_outputs_alone_do_not_count_as_an_edit(project: Path):
    edit_notebook(project, "a = 1")
    assert pair_notebooks() == []


def test_edits_of_one_form_after_a_pairing_do_not_count_as_edits_of_both(project: Path):
    """Nothing is committed in between: the last pairing decides, not git's last commit."""
    script = project / "notebooks/n.py"
    for number in (2, 3):
        script.write_text(f"# %%\nb = {number}\n# %%\nx\n")
        assert pair_notebooks() == [project / "notebooks/n.ipynb"]
    edit_notebook(project, "c = 4")
    assert pair_notebooks() == [script]
    assert "b = 3" in script.read_text() and "c = 4" in script.read_text()
    script.write_text("# %%\nd = 5\n")
    assert pair_notebooks() == [project / "notebooks/n.ipynb"]


def test_without_a_record_of_the_last_pairing_git_decides(project: Path):
    shutil.rmtree(project / "workspace")
    edit_notebook(project, "c = 3")
    assert pair_notebooks() == [project / "notebooks/n.py"]


def test_a_damaged_notebook_is_named(project: Path):
    (project / "notebooks/n.ipynb").write_text("<<<<<<< HEAD\n{}")
    with pytest.raises(DataError, match=r"n\.ipynb is not a notebook that can be read"):
        pair_notebooks()


def test_two_different_edits_raise_and_keep_both(project: Path):
    edit_notebook(project, "c = 3")
    (project / "notebooks/n.py").write_text("# %%\nb = 2\n")
    with pytest.raises(DataError, match=r"n\.py and n\.ipynb were both edited"):
        pair_notebooks()


def test_every_notebook_is_paired_and_stripped():
    assert unpaired_notebooks() == [], "run `topokd pair`"
    for script in notebook_scripts():
        notebook = json.loads(script.with_suffix(".ipynb").read_text())
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook["cells"]), script
        assert notebook["metadata"] == PAIRED_METADATA, f"{script}: without a kernel's name JupyterLab prompts for one"


def test_every_stage_notebook_takes_a_parameter_file(tmp_path: Path):
    scripts = [script for script in notebook_scripts() if script.parent == PROJECT / "notebooks"]
    assert scripts
    for script in scripts:
        (tmp_path / "n.ipynb").write_text(notebook_text(script))
        assert "params_file" in papermill.inspect_notebook(tmp_path / "n.ipynb"), script


def test_saving_in_jupyterlab_leaves_every_script_as_it_was(tmp_path: Path):
    shutil.copytree(PROJECT / "notebooks", tmp_path / "notebooks")
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    manager = build_sync_jupytext_contents_manager_class(LargeFileManager)()
    manager.root_dir = str(tmp_path)
    for script in sorted(tmp_path.glob("notebooks/**/*.py")):
        before, name = script.read_bytes(), script.with_suffix(".ipynb").relative_to(tmp_path).as_posix()
        model = manager.get(name)
        model["content"]["cells"][-1]["metadata"]["scrolled"] = True
        manager.save(model=model, path=name)
        assert script.read_bytes() == before, f"{script.name} is not in jupytext's own form: open and save it once"


@pytest.mark.long
def test_saved_outputs_are_not_a_change_for_git(tmp_path: Path) -> None:
    """The filter of .gitattributes, set as `make lab` does, hides outputs and counters, and shows an edited cell."""

    def git(*command: str) -> str:
        return subprocess.run(["git", *command], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    path = tmp_path / "notebooks" / "explore" / "one.ipynb"
    path.parent.mkdir(parents=True)
    shutil.copy(PROJECT / "notebooks" / "explore" / "loss.ipynb", path)
    shutil.copy(PROJECT / ".gitattributes", tmp_path)
    git("init", "--quiet")
    git("config", "filter.topokd-notebook.clean", f"{sys.executable} -m topokd.cli pair --clean")
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "one")
    assert git("show", "HEAD:notebooks/explore/one.ipynb") == path.read_text(encoding="utf-8")
    notebook = nbformat.read(path, as_version=4)
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
    cell.outputs, cell.execution_count = [nbformat.v4.new_output("stream", text="seen")], 7
    notebook.metadata["widgets"] = {"state": 1}
    nbformat.write(notebook, path)
    assert git("diff") == ""  # `git status` alone judges by the size until the file is added
    git("add", "--update")
    assert git("status", "--porcelain") == ""
    cell.source += "\n# edited"
    nbformat.write(notebook, path)
    assert git("status", "--porcelain").split() == ["M", "notebooks/explore/one.ipynb"]


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{}",
        b'{"cells": 3}',
        b'{"cells": [3], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
        b"\xff\xfe",
        b"",
    ],
)
def test_files_that_are_not_notebooks_are_named(project: Path, content: bytes):
    (project / "notebooks/n.ipynb").write_bytes(content)
    with pytest.raises(DataError, match=r"n\.ipynb is not a notebook that can be read"):
        pair_notebooks()
    with pytest.raises(DataError, match="standard input is not a notebook"):
        cleaned_text(content)


@pytest.mark.parametrize("record", ["[]", "[1, 2]", "3", "{", '"text"', "null"])
def test_a_damaged_record_of_pairings_counts_as_missing(project: Path, record: str):
    (project / "workspace/pairing.json").write_text(record)
    edit_notebook(project, "c = 3")
    assert pair_notebooks() == [project / "notebooks/n.py"]
