"""The scratch clone in which the reduced pipeline has run once, shared by every test of a session."""

from __future__ import annotations

from pathlib import Path

import dvc.repo  # noqa: F401  (its log goes to the stdout of this moment: not to that of one test, which is closed later)
import pytest

from tests.pipeline import scratch


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scratch clone after one `topokd repro`; a test that changes a file of it changes it back."""
    folder = scratch.make_clone(tmp_path_factory.mktemp("scratch") / "topokd")
    printed = scratch.run(folder, "topokd", "repro", "--profile", scratch.PROFILE)
    assert "report:" in printed
    return folder
