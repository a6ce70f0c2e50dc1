"""The SLURM of a test session, and a small project whose stages are shell commands and loops that save their state."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import slurm
from tests.cluster.project import Project


@pytest.fixture(scope="session")
def node() -> Iterator[Path]:
    """A running SLURM; its folder has a short path, as sockets need."""
    slurm.install()
    with tempfile.TemporaryDirectory(prefix="topokd-slurm-", dir="/tmp") as folder, slurm.running(Path(folder)):
        yield Path(folder)


@pytest.fixture
def project(tmp_path: Path, node: Path) -> Iterator[Project]:
    """The small project; what it has in the queue is cancelled afterwards."""
    made = Project.make(tmp_path / "project")
    yield made
    names = ["--name=" + name for name in made.job_names()]
    for name in names:
        subprocess.run(["scancel", name], capture_output=True)
    slurm.wait_until(lambda: not slurm.squeue(), 60, "an empty queue", fail=False)
