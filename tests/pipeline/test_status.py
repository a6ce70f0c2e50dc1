"""`topokd status` follows a small pipeline from its first stage to its last; profiles are read from addresses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from topokd.errors import ParameterError
from topokd.pipeline.profiles import profile_of
from topokd.pipeline.stage import run_stage
from topokd.pipeline.status import profile_status, summary

STAGES = """\
stages:
  a:
    matrix: {profile: ["small", "small-b"]}
    cmd: cat input.txt > results/${item.profile}/a.txt
    deps: [input.txt]
    outs: ["results/${item.profile}/a.txt": {cache: false}]
  b:
    matrix: {profile: ["small", "small-b"]}
    cmd: cat results/${item.profile}/a.txt > results/${item.profile}/b.txt
    deps: ["results/${item.profile}/a.txt"]
    outs: ["results/${item.profile}/b.txt": {cache: false}]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "input.txt").write_text("1\n")
    (tmp_path / "params.yaml").write_text("profiles: [small, small-b]\n")
    (tmp_path / "dvc.yaml").write_text(STAGES)
    for name in ("small", "small-b"):
        (tmp_path / "results" / name).mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    return tmp_path


def states() -> dict[str, str]:
    return {stage.address: stage.state for stage in profile_status("small")}


def test_a_stage_is_ready_once_its_dependencies_are_done(project: Path):
    assert states() == {"a@small": "ready", "b@small": "waiting"}
    run_stage("a@small")
    assert states() == {"a@small": "done", "b@small": "ready"}
    run_stage("b@small")
    assert summary(profile_status("small")) == "2 done, 0 running, 0 ready, 0 waiting"
    (project / "input.txt").write_text("2\n")
    assert states() == {"a@small": "ready", "b@small": "waiting"}


def test_a_profile_that_params_yaml_does_not_list_is_shown_and_the_file_stays(project: Path):
    """As in a clone of a checkout where it was built: only `default` is listed in git."""
    (project / "conf").mkdir()
    (project / "conf" / "small.yaml").write_text("{}\n")
    file = project / "params.yaml"
    text = (PROJECT / "params.yaml").read_text()
    dvc = project / "dvc.yaml"
    dvc.write_text(STAGES.replace('["small", "small-b"]', '"${profiles}"'))
    file.write_text(text.replace("profiles: [default]", "profiles: [default, small]"))
    run_stage("a@small")
    file.write_text(text)
    assert states() == {"a@small": "done", "b@small": "ready"}
    assert file.read_text() == text
    with pytest.raises(ParameterError, match="there is no profile 'smal'; profiles: default, small"):
        profile_status("smal")


def test_a_stage_of_another_process_is_running(project: Path):
    file = project / "dvc.yaml"
    file.write_text(STAGES.replace("cmd: cat input.txt", "cmd: touch begun; read line < hold; cat input.txt"))
    subprocess.run(["mkfifo", str(project / "hold")], check=True)
    command = [sys.executable, "-m", "topokd.cli", "stage", "a@small"]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL) as process:
        with (project / "hold").open("w") as hold:  # opens when the stage's command reads
            assert states() == {"a@small": "running", "b@small": "waiting"}
            hold.write("\n")
        assert process.wait(60) == 0
    assert states() == {"a@small": "done", "b@small": "ready"}


@pytest.mark.parametrize(
    ("address", "profile"),
    [("a@small", "small"), ("a@small-0", "small"), ("a@small-b-full-0", "small-b"), ("a@other-0", ""), ("", "")],
)
def test_the_profile_of_an_address_may_contain_dashes(project: Path, address: str, profile: str):
    assert profile_of(address) == profile
