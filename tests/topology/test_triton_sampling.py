"""Farthest point sampling as a Triton kernel, compared with its torch twin under Triton's interpreter on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from topokd.errors import ParameterError
from topokd.topology import triton_sampling
from topokd.topology.sampling import sample_together

SCRIPT = Path(__file__).with_name("triton_interpreted.py")


@pytest.mark.skipif(sys.platform != "linux", reason="triton has packages for Linux only")
def test_the_kernels_equal_their_torch_twin_under_tritons_interpreter() -> None:
    """In a process of its own: Triton decides at its import whether it interprets."""
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, SCRIPT], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("check_") == SCRIPT.read_text().count("def check_")


def test_without_triton_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_sampling, "triton", None)
    with pytest.raises(ParameterError, match="pip install triton"):
        triton_sampling.sample_in_one_kernel([torch.zeros(4, 2)], 2, 0)


@pytest.mark.parametrize("limit", ["MOST_BYTES", "MOST_ROWS"])
def test_clouds_too_large_for_a_matrix_go_to_the_twin(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_sampling, limit, 39)
    monkeypatch.setattr(triton_sampling, "triton", object())
    monkeypatch.setattr(triton_sampling, "squared_distances", None)
    points = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    (indices,) = triton_sampling.sample_in_one_kernel([points], 12, 0)
    assert torch.equal(indices, sample_together([points], 12, 0)[0])
