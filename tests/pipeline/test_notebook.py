"""The notebook runner: equal bytes, clear failures, pairing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import DeadKernelError

from tests.conftest import PROJECT
from topokd.errors import DataError
from topokd.io import read_json
from topokd.pipeline.notebook import NotebookError, run_notebook
from topokd.pipeline.progress import show_progress
from topokd.pipeline.provenance import code_record
from topokd.progress import Progress

SCRIPT = """# %% [markdown]
# # A notebook

# %% tags=["parameters"]
params_file = "params.yaml"
number = 1

# %%
import os
from pathlib import Path
maps = Path("/proc/self/maps")
os.environ["GLIBC_TUNABLES"], maps.exists() and "jemalloc" in maps.read_text()

# %%
import sys
from topokd.progress import Progress, report_earlier

report_earlier("goes on", 1000.0)
for i in Progress(range(3), "counting"):
    print(i, end=" ")
    print(i, file=sys.stderr)
number
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "topokd").mkdir()
    (tmp_path / "params.yaml").write_text("profile: default\n")
    (tmp_path / "n.py").write_text(SCRIPT)
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    return tmp_path


def test_executed_twice_gives_equal_bytes_and_a_record(project: Path):
    for name in ("one", "two"):
        run_notebook("n.py", {"number": 7, "params_file": "params.yaml"}, f"out/{name}.ipynb")
    first, second = (project / f"out/{name}.ipynb" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    notebook = nbformat.read(first, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[-1].outputs[-1].data["text/plain"] == "7"
    environment = notebook.cells[-2].outputs[-1].data["text/plain"]
    assert "glibc.malloc.hugetlb=1" in environment
    record = read_json(project / "results/default/provenance/one.json")
    assert record["parameters"] == {"number": 7, "params_file": "params.yaml"}
    assert 1000 < record["seconds"] < 1600  # with those that the script reports of processes before it
    assert record["versions"]["torch"] != "not installed"
    assert record["allocator"] == ("jemalloc" if "True" in environment else "system")
    assert record["peak_memory_mb"] > 10 and record["seeds"] == [0, 1, 2] and record["threads"] == 1
    assert record["commit"] is None and set(record["joules"]) <= {"processors", "gpus"}


def test_a_record_names_the_commit_and_whether_the_code_differs_from_it(project: Path):
    (project / "params.yaml").write_text("profiles: [default]\nreal_profiles: []\nprofile: default\n")
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@e.org", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], cwd=project, check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project, capture_output=True, text=True).stdout.strip()
    assert code_record() == {"commit": commit, "dirty": False}
    (project / "results").mkdir()
    (project / "results/new.json").write_text("{}")  # results are not code
    assert not code_record()["dirty"]
    committed = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(committed.replace("profiles: [", "profiles: [other, ", 1))
    assert not code_record()["dirty"]  # the choice of profiles changes no result
    (project / "params.yaml").write_text(committed + "seeds: [5]\n")
    assert code_record() == {"commit": commit, "dirty": True}
    (project / "params.yaml").write_text(committed)
    (project / "topokd").mkdir(exist_ok=True)
    (project / "topokd/new.py").write_text("")
    assert code_record() == {"commit": commit, "dirty": True}


def test_a_failing_cell_is_named_and_the_executed_part_is_kept(project: Path):
    (project / "n.py").write_text(SCRIPT + "\n# %%\nraise ValueError('scan 08/000004 is empty')\n")
    with pytest.raises(NotebookError, match=r"n\.py: ValueError: scan 08/000004 is empty"):
        run_notebook("n.py", {"params_file": "params.yaml"}, "out/x.ipynb")
    assert not (project / "out/x.ipynb").exists()
    assert "scan 08/000004 is empty" in (project / "workspace/default/failed/x.ipynb").read_text()


def test_a_kernel_that_is_killed_is_explained_and_the_executed_part_is_kept(project: Path):
    (project / "n.py").write_text(SCRIPT + "\n# %%\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    with pytest.raises(
        NotebookError, match=r"n\.py: the Jupyter kernel was killed, .*\n.*the part that ran: .*x\.ipynb"
    ):
        run_notebook("n.py", {"params_file": "params.yaml"}, "out/x.ipynb")
    assert not (project / "out/x.ipynb").exists()
    assert "0 1 2" in (project / "workspace/default/failed/x.ipynb").read_text()


def test_a_kernel_that_leaves_nothing_is_not_explained_by_an_earlier_failure(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    kept = project / "workspace/default/failed/x.ipynb"
    kept.parent.mkdir(parents=True)
    kept.write_text("of yesterday")

    def die(*_: object, **__: object) -> None:
        raise DeadKernelError("Kernel died")

    monkeypatch.setattr("papermill.execute_notebook", die)
    with pytest.raises(NotebookError, match="the Jupyter kernel was killed") as caught:
        run_notebook("n.py", {"params_file": "params.yaml"}, "out/x.ipynb")
    assert "the part that ran" not in str(caught.value) and not kept.exists()


def test_a_kernel_that_does_not_start_in_time_is_explained(project: Path, monkeypatch: pytest.MonkeyPatch):
    def wait(*_: object, **__: object) -> None:
        raise RuntimeError("Kernel didn't respond in 5 seconds")

    monkeypatch.setattr("papermill.execute_notebook", wait)
    monkeypatch.setenv("TOPOKD_KERNEL_START", "5")
    with pytest.raises(
        NotebookError, match=r"n\.py: the Jupyter kernel did not start within 5 s: .*TOPOKD_KERNEL_START"
    ):
        run_notebook("n.py", {"params_file": "params.yaml"}, "out/x.ipynb")


def test_an_unknown_notebook_or_parameter_is_named(project: Path):
    with pytest.raises(DataError, match="does not exist"):
        run_notebook("absent.py", {"params_file": "params.yaml"}, "out/x.ipynb")
    with pytest.raises(DataError, match="no parameter sed"):
        run_notebook("n.py", {"sed": 1, "params_file": "params.yaml"}, "out/x.ipynb")


def test_progress_is_shown_outside_the_notebook(capsys: pytest.CaptureFixture[str]):
    import time

    with show_progress("name", every=0.05):
        steps = Progress(range(4), "training")
        for _ in steps:
            steps.note = "loss 1.0"
            time.sleep(0.4)
    shown = capsys.readouterr().err
    assert "name · training" in shown
    assert "left · loss 1.0" in shown


@pytest.mark.long
def test_notebooks_that_run_at_the_same_time_keep_their_own_parameters(project: Path):
    """Their kernels must not share sockets."""
    (project / "dvc.yaml").write_text("stages: {}\n")
    (project / "results/default").mkdir(parents=True)
    (project / "results/default/params.yaml").write_text("profile: default\n")
    command = [sys.executable, "-m", "topokd.cli", "notebook", "n.py"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    started = [subprocess.Popen([*command, "-p", f"number={n}"], cwd=project, env=environment) for n in (1, 2, 3)]
    assert [process.wait(240) for process in started] == [0, 0, 0]
    for n in (1, 2, 3):
        assert nbformat.read(project / f"workspace/default/notebooks/n-number{n}.ipynb", 4).cells[-1].outputs[-1].data[
            "text/plain"
        ] == str(n)
