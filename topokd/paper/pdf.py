"""The report as PDF, printed by a Chromium without a window."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from topokd.errors import DataError
from topokd.io import atomic_path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 300  # seconds for one page


def write_pdf(page: str | Path) -> Path:
    """Print a report to a PDF of the same name next to it.

    The report itself fills the pages (``templates/pages.js``), as it does when a reader prints: within a section the
    exhibits are put in the order that fills the pages best, and tables break between lines.

    Args:
        page: the .html file.

    Raises:
        DataError: the page or a browser is missing, or printing failed.
    """
    page = Path(page).resolve()
    if not page.is_file():
        raise DataError(f"{page} does not exist: `make repro` writes it")
    browser = next((program for name in BROWSERS if (program := shutil.which(name))), None)
    if browser is None:
        raise DataError("printing needs Chromium or Chrome on the PATH (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory(prefix="topokd-pdf-") as folder:
        printed = Path(folder) / "report.pdf"
        command = [
            *(browser, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"),
            *("--window-size=1440,1000", "--no-pdf-header-footer", f"--print-to-pdf={printed}", page.as_uri()),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise DataError(f"{browser} did not print {page.name} within {PATIENCE} s: try again") from None
        if not printed.is_file():
            raise DataError(f"{browser} did not print {page.name}: {done.stderr.strip()[-500:]}")
        target = page.with_suffix(".pdf")
        with atomic_path(target) as temporary:  # the printed file may be on another file system
            shutil.copyfile(printed, temporary)
    return target
