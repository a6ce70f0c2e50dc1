"""Every file of examples/ runs as a script and prints the documented output."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import PROJECT

EXAMPLES = sorted((PROJECT / "examples").glob("*.py"))
PRINTED = {
    "01_losses": "step 30: segmentation",
    "02_label_a_scan": "5000 points, classes",
    "03_own_data": "IoU: {'floor': ",
    "04_own_network": "student alone",
    "05_topology": "64 of 400 points",
    "06_own_cnn": "CNN after 10 steps: seg",
    "07_own_mlp": "MLP after 10 steps: seg",
    "08_own_point_network": "PointNet after 10 steps: seg",
}


def test_examples_are_numbered_from_one_and_each_is_tested():
    assert [example.stem for example in EXAMPLES] == sorted(PRINTED)
    assert [int(example.stem[:2]) for example in EXAMPLES] == list(range(1, len(EXAMPLES) + 1))


@pytest.mark.long
@pytest.mark.timeout(180)  # the first one in a fresh checkout waits for Numba
@pytest.mark.parametrize("name", sorted(PRINTED))
def test_the_example_runs(name: str):
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    script = PROJECT / "examples" / f"{name}.py"
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert PRINTED[name] in done.stdout
