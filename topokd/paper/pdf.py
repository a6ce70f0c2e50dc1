"""The report as PDF, set on pages by a script of ours and printed by a Chromium without a window."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from topokd.errors import DataError
from topokd.io import write_text
from topokd.paper.render import TEMPLATES

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 300  # seconds for one page


def write_pdf(page: str | Path) -> Path:
    """Print a report to a PDF of the same name next to it.

    ``templates/pages.js`` fills the pages: figures float over what follows them, and tables are torn between lines.

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
        printed, source = Path(folder) / "report.pdf", Path(folder) / "report.html"
        write_text(source, with_pages(page.read_text(encoding="utf-8")))
        command = [
            *(browser, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"),
            *("--window-size=1440,1000", "--no-pdf-header-footer", f"--print-to-pdf={printed}", source.as_uri()),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise DataError(f"{browser} did not print {page.name} within {PATIENCE} s: try again") from None
        if not printed.is_file():
            raise DataError(f"{browser} did not print {page.name}: {done.stderr.strip()[-500:]}")
        target = page.with_suffix(".pdf")
        shutil.move(printed, target)
    return target


def with_pages(page: str) -> str:
    """The text of a report with the script that sets it on pages once it is loaded.

    Examples:
        >>> "new Setter" in with_pages("<body>words</body>")
        True
    """
    script = (TEMPLATES / "pages.js").read_text(encoding="utf-8")
    return page.replace("</body>", f"<script>\n{script}</script>\n</body>")
