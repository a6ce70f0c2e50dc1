"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real scans and reference numbers beside the project; without it the test is skipped."""
    folder = Path(os.environ.get("TOPOKD_SHARED", PROJECT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(
            "no ../shared beside the project (real scans and reference numbers); set TOPOKD_SHARED to its folder"
        )
    return folder


@pytest.fixture(scope="session")
def real_scans(shared: Path) -> Path:
    """Root of the 34 real SemanticKITTI scans."""
    return shared / "data" / "semantickitti-mini"
