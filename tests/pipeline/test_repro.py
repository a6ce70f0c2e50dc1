"""The real pipeline, reduced (profile smoke), in a scratch clone: regenerates, rests, and re-runs only what changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import PROJECT
from topokd.pipeline.stage import stage_command

pytestmark = pytest.mark.timeout(2700)
PIPELINE = "conf/smoke/dvc.yaml"


def git(clone: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", *identity, *arguments], cwd=clone, check=True, capture_output=True, text=True)
    return done.stdout


def own_environment(clone: Path) -> dict[str, str]:
    """This interpreter's programs with the clone's own topokd; DVC's commands run in /bin/sh, the worst shell."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("TOPOKD_") and name != "SHELL"},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(clone),
    }


def run(clone: Path, *command: str, check: bool = True) -> str:
    """Run a command in the clone; returns what it printed."""
    done = subprocess.run(
        command, cwd=clone, env=own_environment(clone), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert not check or done.returncode == 0, f"{command} exited {done.returncode}:\n{done.stdout[-6000:]}"
    return done.stdout


def digests(clone: Path) -> dict[str, str]:
    """Content of every result of the profile, except the records that hold durations."""
    files = [
        *clone.glob("results/smoke/**/*"),
        *clone.glob("figures/smoke/**/*"),
        *clone.glob("workspace/smoke/checkpoints/*"),
        *clone.glob("workspace/smoke/notebooks/*"),
    ]
    return {
        str(file.relative_to(clone)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file() and "provenance" not in file.parts
    }


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked and new files of this working tree, committed in a folder of their own, and reproduced once."""
    folder = tmp_path_factory.mktemp("scratch") / "topokd"
    listed = git(PROJECT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, listed):
        source, target = PROJECT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    compiled = "topokd/topology/kernels/__pycache__"  # Numba's work, and the stamp that says what it was made from
    if (PROJECT / compiled).is_dir():
        shutil.copytree(PROJECT / compiled, folder / compiled)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "scratch")
    printed = run(folder, "topokd", "repro", "--profile", "smoke")
    assert "report:" in printed
    return folder


def test_everything_is_there(clone: Path):
    results = clone / "results/smoke"
    page = (results / "report.html").read_text()
    for number in range(1, 9):
        assert f"Table {number}" in page
        assert f"Figure {number}" in page
    assert 'src="http' not in page and 'href="http' not in page.replace('href="https://doi.org', "")
    runs = {path.stem for path in (results / "runs").glob("*.json")}
    expected = {f"{name}-seed{seed}" for name in ("teacher", "plain", "full") for seed in (0, 1)}
    assert runs == expected
    for layout, table in (("nuscenes", "table1"), ("waymo", "table4")):  # their panels are measured too
        panel = {path.stem for path in (results / "panels" / layout / "runs").glob("*.json")}
        assert panel == {"teacher-seed0", "plain-seed0", "full-seed0"}
        lines = (results / "tables" / f"{table}.csv").read_text().splitlines()
        assert any(",measured," in line and "synthetic street world in" in line for line in lines)
    record = json.loads((results / "runs/full-seed1.json").read_text())
    assert record["terms"] == ["kd", "topo", "grad"]
    assert all(value is not None for value in record["history"]["loss"])
    for name in expected:
        assert (clone / f"workspace/smoke/checkpoints/{name}.safetensors").is_file()


def test_a_second_repro_does_nothing(clone: Path):
    printed = run(clone, "dvc", "repro", PIPELINE)
    assert "Running stage" not in printed
    assert "up to date" in printed
    printed = run(clone, "topokd", "repro", "--profile", "smoke")
    assert "every stage is up to date" in printed and "[1/" not in printed


def test_saving_a_notebook_by_hand_invalidates_nothing(clone: Path):
    file = clone / "notebooks/30_student.ipynb"
    content = json.loads(file.read_text())
    content["cells"][-1].setdefault("outputs", []).append(
        {"output_type": "stream", "name": "stdout", "text": ["hello"]}
    )
    content["metadata"]["language_info"] = {"name": "python"}
    file.write_text(json.dumps(content, indent=1))
    assert "up to date" in run(clone, "dvc", "status", PIPELINE)


def test_one_loss_weight_re_runs_only_what_depends_on_it(clone: Path):
    file = clone / "conf/smoke/params.yaml"
    before = file.read_text()
    file.write_text(before.replace("distill:\n", "distill:\n  lambda_topo: 0.5\n"))
    run(clone, "dvc", "repro", "-s", f"{PIPELINE}:params")
    status = run(clone, "dvc", "status", PIPELINE)
    changed = {line.split(":")[1] for line in status.splitlines() if line.startswith(PIPELINE)}
    file.write_text(before)
    run(clone, "dvc", "repro", "-s", f"{PIPELINE}:params")
    assert {name for name in changed if name.startswith(("student", "teacher"))} == {"student@full-0", "student@full-1"}
    assert not changed & {"data", "topology", "topology_cost", "model_cost"}


def test_the_same_bytes_again(clone: Path):
    """Trained from nothing a second time: weights, records, figures and executed notebooks are byte-identical."""
    before = digests(clone)
    shutil.rmtree(clone / "workspace/smoke/resume")
    for stage in ("data", "teacher@1", "student@full-1", "evaluation", "topology"):
        run(clone, "dvc", "repro", "-s", "--force", f"{PIPELINE}:{stage}")
    after = digests(clone)
    assert {name for name in before if before[name] != after.get(name)} == set()


def test_a_killed_stage_leaves_nothing_running_and_goes_on_where_it_was(clone: Path, tmp_path: Path):
    """Killed after the first saved state. Progress goes into a pipe that nobody reads from there on, so however fast
    the machine is, the run waits at its last report at the latest and cannot end before it is killed."""
    before = digests(clone)
    resume = clone / "workspace/smoke/resume"
    shutil.rmtree(resume, ignore_errors=True)
    command = stage_command(f"{PIPELINE}:teacher@0", force=True)
    progress = tmp_path / "progress"
    os.mkfifo(progress)
    environment = {**own_environment(clone), "TOPOKD_PROGRESS": str(progress)}
    process = subprocess.Popen(command, cwd=clone, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 600
    reader = os.open(progress, os.O_RDONLY | os.O_NONBLOCK)
    while not any(resume.rglob("state.pt")):
        with contextlib.suppress(BlockingIOError):  # the writer has opened it and not written yet
            os.read(reader, 1 << 16)
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.close(reader)
    below = psutil.Process(process.pid).children(recursive=True)
    assert any("ipykernel" in " ".join(child.cmdline()) for child in below)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(below, timeout=300)
    assert not alive
    run(clone, *command)
    assert {name for name, digest in digests(clone).items() if before.get(name) != digest} == set()


def test_a_wrong_parameter_stops_with_its_name(clone: Path):
    file = clone / "conf/smoke/params.yaml"
    before = file.read_text()
    file.write_text(before + "tarin: {}\n")
    printed = run(clone, "topokd", "repro", "--profile", "smoke", check=False)
    file.write_text(before)
    assert "unknown parameter 'tarin'; did you mean 'train'" in printed
    run(clone, "dvc", "repro", "-s", f"{PIPELINE}:params")
