"""Forty real stages that end in the same second while another process holds DVC's lock for five: none fails."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import PROJECT

pytestmark = pytest.mark.timeout(1500)
NUMBER = 40


def test_stages_that_end_together_are_all_recorded(tmp_path: Path):
    (tmp_path / "dvc.yaml").write_text(
        f"stages:\n  a:\n    matrix: {{n: {list(range(NUMBER))}}}\n"
        "    cmd: touch begun-${item.n}; while [ ! -e go ]; do sleep 0.2; done; echo ${item.n} > ${item.n}.txt\n"
        '    outs: ["${item.n}.txt"]\n'
    )
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    environment = {**os.environ, "TOPOKD_ROOT": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "topokd.cli", "stage"]
    stages = [
        subprocess.Popen([*command, f"a@{n}"], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
        for n in range(NUMBER)
    ]
    deadline = time.monotonic() + 900
    while len(list(tmp_path.glob("begun-*"))) < NUMBER:
        assert time.monotonic() < deadline and all(stage.poll() is None for stage in stages)
        time.sleep(0.5)
    hold = (
        "import time; from topokd.pipeline.repository import with_lock\n"
        "with_lock(lambda repo: (print(flush=True), time.sleep(5)))"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold], cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    (tmp_path / "go").touch()
    assert [stage.wait(900) for stage in stages] == [0] * NUMBER
    assert holder.wait(60) == 0
    status = subprocess.run([*dvc, "status"], cwd=tmp_path, capture_output=True, text=True).stdout
    assert "up to date" in status
