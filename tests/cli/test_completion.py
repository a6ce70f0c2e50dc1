"""What a press of Tab offers: names of profiles, benchmarks, label maps and rows, and files elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from topokd.cli import completion
from topokd.datasets import BENCHMARKS
from topokd.params import profile_names

pytestmark = pytest.mark.unit


def offered(line: str, folder: Path = PROJECT, root: Path = PROJECT) -> list[str]:
    """What bash gets for a line that ends at the cursor, from the program that `topokd --show-completion` calls."""
    words = line.split(" ")
    environment = {
        **os.environ,
        **{"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_TOPOKD_COMPLETE": "complete_bash"},
        **{"TOPOKD_ROOT": str(root), "PYTHONPATH": str(PROJECT)},
    }
    code = "import sys; sys.argv = ['topokd']; from topokd.cli import app; app(prog_name='topokd')"
    process = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert not process.stderr
    return process.stdout.split()


def test_commands_profiles_rows_and_label_maps_are_completed():
    assert offered("topokd pre") == ["predict"]
    assert offered("topokd slurm res") == ["resume"]
    assert offered("topokd repro --profile ") == profile_names()
    assert offered("topokd params semantickitti-m") == ["semantickitti-mini"]
    assert offered("topokd train kd_t") == ["kd_topo"]
    assert offered("topokd predict --labels rel") == ["rellis3d"]
    assert offered("topokd predict ") == []  # the shell then offers files


def test_outside_a_checkout_nothing_is_offered_and_nothing_is_printed(tmp_path: Path):
    assert offered("topokd status --profile ", tmp_path, tmp_path) == []
    assert offered("topokd train ", tmp_path, tmp_path) == ["teacher"]


def test_all_benchmarks_are_offered():
    assert sorted(completion.benchmarks("")) == sorted(BENCHMARKS)
