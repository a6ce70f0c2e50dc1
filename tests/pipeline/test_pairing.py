"""Scripts and notebooks stay in step, whichever is edited, and saving without an edit changes nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from jupytext.sync_contentsmanager import build_sync_jupytext_contents_manager_class

from tests.conftest import PROJECT
from topokd.errors import DataError
from topokd.pipeline import pair_notebooks, unpaired_notebooks
from topokd.pipeline.notebook import declared_parameters
from topokd.pipeline.pairing import notebook_scripts


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project under git with one notebook in both forms."""
    (tmp_path / "notebooks").mkdir()
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


def test_outputs_alone_are_no_edit(project: Path):
    edit_notebook(project, "a = 1")
    assert pair_notebooks() == []


def test_two_different_edits_are_refused(project: Path):
    edit_notebook(project, "c = 3")
    (project / "notebooks/n.py").write_text("# %%\nb = 2\n")
    with pytest.raises(DataError, match=r"n\.py and n\.ipynb were both edited"):
        pair_notebooks()


def test_every_notebook_is_paired_and_stripped():
    assert unpaired_notebooks() == [], "run `topokd pair`"
    for script in notebook_scripts():
        notebook = json.loads(script.with_suffix(".ipynb").read_text())
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook["cells"]), script


def test_every_stage_notebook_takes_a_parameter_file():
    scripts = [script for script in notebook_scripts() if script.parent == PROJECT / "notebooks"]
    assert scripts
    for script in scripts:
        assert "params_file" in declared_parameters(script), script


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
