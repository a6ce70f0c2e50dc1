"""The reduced pipeline in a scratch clone: it regenerates everything, is then up to date, and re-runs changes only."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.pipeline.scratch import PROFILE, ROWS, SEEDS, changed_stages, digests, git, own_environment, run
from topokd.pipeline.scheduler import stage_command

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(2700)]


@contextlib.contextmanager
def edited(clone: Path, name: str, old: str, new: str) -> Iterator[None]:
    """A file of the clone with one text replaced and the parameters resolved again; afterwards all is as before."""
    files = {path: path.read_bytes() for path in (clone / "dvc.lock", clone / f"results/{PROFILE}/params.yaml")}
    file = clone / name
    before = file.read_text()
    assert old in before
    file.write_text(before.replace(old, new, 1))
    try:
        run(clone, "dvc", "repro", "-s", f"params@{PROFILE}")
        yield
    finally:
        file.write_text(before)
        for path, content in files.items():
            path.write_bytes(content)


def test_the_report_has_every_table_figure_and_run(clone: Path):
    results = clone / "results" / PROFILE
    page = (results / "report.html").read_text()
    for number in range(1, 9):
        assert f"Table {number}" in page
        assert f"Figure {number}" in page
    assert 'src="http' not in page and 'href="http' not in page.replace('href="https://doi.org', "")
    runs = {path.stem for path in (results / "runs").glob("*.json")}
    expected = {f"{name}-seed{seed}" for name in ("teacher", *ROWS) for seed in SEEDS}
    assert runs == expected
    for layout, table in (("nuscenes", "table1"), ("waymo", "table4")):  # their panels are measured too
        panel = {path.stem for path in (results / "panels" / layout / "runs").glob("*.json")}
        assert panel == {"teacher-seed0", "plain-seed0", "full-seed0"}
        lines = (results / "tables" / f"{table}.csv").read_text().splitlines()
        assert any(",measured," in line and "synthetic street world in" in line for line in lines)
    record = json.loads((results / "runs/full-seed1.json").read_text())
    assert list(record["terms"]) == ["topo", "grad", "kd"]  # the order of the sum, that of `terms` in params.yaml
    assert all(value is not None for value in record["history"]["loss"])
    for name in expected:
        assert (clone / f"workspace/{PROFILE}/checkpoints/{name}.safetensors").is_file()


def test_a_second_repro_does_nothing(clone: Path):
    printed = run(clone, "dvc", "repro")
    assert "Running stage" not in printed
    assert "up to date" in printed
    printed = run(clone, "topokd", "repro", "--profile", PROFILE)
    assert "every stage is up to date" in printed and "[1/" not in printed


def test_the_metrics_are_the_miou_of_every_run(clone: Path):
    shown = json.loads(run(clone, "dvc", "metrics", "show", "--json"))
    miou = shown[""]["data"][f"results/{PROFILE}/metrics.json"]["data"]["miou"]
    assert set(miou) == {"teacher", *ROWS}
    for row, values in miou.items():
        records = [json.loads((clone / f"results/{PROFILE}/runs/{row}-seed{k}.json").read_text()) for k in SEEDS]
        expected = [100 * record["evaluation"]["miou_skip"] for record in records]
        assert [values[f"seed{k}"] for k in SEEDS] == pytest.approx(expected, abs=1e-3)
        assert values["mean"] == pytest.approx(sum(expected) / len(expected), abs=1e-3)


def test_the_plots_are_the_curves_of_every_run(clone: Path):
    shown = json.loads(run(clone, "dvc", "plots", "show", "--json"))
    for row in ("teacher", *ROWS):
        assert any(f"live/{row}-seed0" in name and name.endswith("total.tsv") for name in shown["data"]), row


def test_saving_a_notebook_by_hand_invalidates_nothing(clone: Path):
    file = clone / "notebooks/30_student.ipynb"
    before = file.read_text()
    content = json.loads(before)
    content["cells"][-1].setdefault("outputs", []).append(
        {"output_type": "stream", "name": "stdout", "text": ["hello"]}
    )
    content["metadata"]["language_info"] = {"name": "python"}
    file.write_text(json.dumps(content, indent=1))
    assert changed_stages(clone) == set()
    file.write_text(before)


def test_one_weight_re_runs_only_the_rows_with_that_term(clone: Path):
    with edited(clone, "conf/smoke.yaml", "  topo:\n", "  topo:\n    weight: 0.5\n"):
        changed = changed_stages(clone)
    assert {name for name in changed if name.startswith(("student", "teacher"))} == {"student-full-0", "student-full-1"}
    assert not changed & {"data", "topology", "topology_cost", "model_cost"}


def test_a_changed_label_re_runs_only_the_stages_that_show_it(clone: Path):
    with edited(clone, "conf/smoke.yaml", "benchmark:\n", "rows:\n  full:\n    label: All terms\nbenchmark:\n"):
        assert changed_stages(clone) == {"evaluation", "explorers", "study", "paper"}


def test_another_listed_profile_changes_nothing_of_this_one(clone: Path):
    with edited(clone, "params.yaml", f"profiles: [{PROFILE}]", f"profiles: [{PROFILE}, waymo]"):
        assert not {name for name in changed_stages(clone) if "waymo" not in name}


def test_a_second_run_gives_the_same_bytes(clone: Path):
    """Trained again from the start: weights, records, figures and executed notebooks are byte-identical."""
    before = digests(clone)
    shutil.rmtree(clone / "workspace/smoke/resume")
    stages = ("data@smoke", "teacher@smoke-1", "student@smoke-full-1", "evaluation@smoke", "topology@smoke")
    run(clone, "dvc", "repro", "-s", "--force", *stages)
    after = digests(clone)
    assert {name for name in before if before[name] != after.get(name)} == set()


def test_a_killed_stage_leaves_nothing_running_and_resumes(clone: Path, tmp_path: Path):
    """Killed after the first saved state. Progress goes into a pipe that is no longer read, so even on a fast machine
    the run blocks at its last report at the latest and cannot end before it is killed."""
    before = digests(clone)
    resume = clone / "workspace/smoke/resume"
    shutil.rmtree(resume, ignore_errors=True)
    command = stage_command("teacher@smoke-0", force=True)
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


def test_a_misspelt_parameter_stops_with_its_name(clone: Path):
    file = clone / "conf/smoke.yaml"
    before = file.read_text()
    file.write_text(before + "tarin: {}\n")
    printed = run(clone, "topokd", "repro", "--profile", "smoke", check=False)
    file.write_text(before)
    assert "tarin" in printed and "did you mean 'train'" in printed and "Traceback" not in printed


def test_an_experiment_with_another_weight_trains_one_run_and_is_listed(clone: Path):
    """The last test of this file: it leaves the changed parameters and the new run behind."""
    record = clone / f"results/{PROFILE}/runs/full-seed0.json"
    before = json.loads(record.read_text())
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "results")
    printed = run(
        clone, "dvc", "exp", "run", "--name", "heavier", "-S", "terms.topo.weight=0.5", f"student@{PROFILE}-full-0"
    )
    assert set(re.findall(r"Running stage '(\w+)@", printed)) == {"params", "student"}
    assert json.loads(record.read_text())["terms"]["topo"] == before["terms"]["topo"] | {"weight": 0.5}
    shown = json.loads(run(clone, "dvc", "exp", "show", "--json"))
    (experiment,) = [entry for revision in shown for entry in revision.get("experiments") or []]
    assert experiment["name"] == "heavier"
    data = experiment["revs"][0]["data"]
    assert data["params"]["params.yaml"]["data"]["terms"]["topo"]["weight"] == 0.5
    assert f"results/{PROFILE}/metrics.json" in data["metrics"]
