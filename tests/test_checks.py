"""The checks of values and memory that readers, losses and networks share."""

import numpy as np
import pytest
import torch

from topokd import checks
from topokd.checks import available_memory, first_nonfinite_row, require_finite, require_memory
from topokd.errors import DataError


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 2, 2)])
def test_the_first_row_with_a_nonfinite_value_is_named(make, bad, shape) -> None:
    values = np.zeros(shape)
    assert first_nonfinite_row(make(values)) is None
    require_finite(make(values), "feat")
    values[3:] = bad
    assert first_nonfinite_row(make(values)) == 3
    with pytest.raises(DataError, match="^feat holds NaN or infinity, first in row 3 of 5: lower the step size$"):
        require_finite(make(values), "feat", "lower the step size")


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_an_empty_input_is_finite(make) -> None:
    assert first_nonfinite_row(make(np.zeros((0, 3)))) is None


def test_available_memory_is_below_the_limit_of_the_process(monkeypatch) -> None:
    resource = pytest.importorskip("resource")
    free = available_memory()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1, 1))  # less than the process has already
    assert free is not None and free > 0 and available_memory() == 0


@pytest.mark.parametrize(
    ("groups", "path", "limit", "use"),
    [
        ("0::/system.slice/job_7/step_0\n", "system.slice/job_7", "memory.max", "memory.current"),
        ("0::/system.slice/job_7\n", "system.slice/job_7", "memory.max", "memory.current"),
        ("0::/\n", ".", "memory.max", "memory.current"),  # in a container, which sees its own group as the root
        (
            "5:cpu,cpuacct:/job_7\n4:memory:/slurm/job_7\n0::/\n",
            "memory/slurm",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
        ),
    ],
)
def test_available_memory_is_below_the_limit_of_every_control_group(
    tmp_path, monkeypatch, groups, path, limit, use
) -> None:
    (tmp_path / "cgroup").write_text(groups)
    folder = tmp_path / "fs" / path
    folder.mkdir(parents=True)
    for name, content in ((limit, "5000"), (use, "3000"), ("memory.stat", "anon 1\ninactive_file 70\n")):
        (folder / name).write_text(content)
    monkeypatch.setattr(checks, "PROCESS_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(checks, "GROUPS", tmp_path / "fs")
    assert available_memory() == 2070
    (folder / limit).write_text("max")
    assert available_memory() > 2070


@pytest.mark.parametrize(
    ("needed", "available", "raises"),
    [(10**9 + 1, 10**9, True), (10**9, 10**9, False), (10**9, None, False), (10**6, 0, False)],
)
def test_only_large_requests_beyond_the_known_memory_are_rejected(monkeypatch, needed, available, raises) -> None:
    monkeypatch.setattr(checks, "available_memory", lambda: available)
    if not raises:
        return require_memory(needed, "a table", "ask for less")
    with pytest.raises(
        DataError, match=r"^a table needs 1\.0 GB of memory, but only 1\.0 GB are available: ask for less$"
    ):
        require_memory(needed, "a table", "ask for less")
