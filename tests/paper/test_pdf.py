"""Printing the report, with a stand-in for the browser; the pages themselves are looked at in tests/browser."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from topokd.paper.pdf import write_pdf


def test_a_copy_that_is_cut_short_leaves_the_old_pdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of temporary files is often on another file system, and files cannot be renamed to this one."""
    browser = tmp_path / "bin" / "chromium"
    browser.parent.mkdir()
    browser.write_text(
        '#!/bin/sh\nfor option; do case "$option" in --print-to-pdf=*) echo new > "${option#*=}";; esac; done\n'
    )
    browser.chmod(0o755)
    monkeypatch.setenv("PATH", f"{browser.parent}:/usr/bin:/bin")
    page = tmp_path / "report.html"
    page.write_text("<p>report")
    assert write_pdf(page).read_text() == "new\n"
    page.with_suffix(".pdf").write_text("old")

    def cannot_rename(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    def full(source: Path, target: Path, **_: object) -> None:
        Path(target).write_text("ha")
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr("os.rename", cannot_rename)
    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        write_pdf(page)
    assert page.with_suffix(".pdf").read_text() == "old"
