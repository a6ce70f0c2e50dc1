"""A JupyterLab on a copy of the notebooks, for tests and benchmarks in a browser."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page

from tests.conftest import PROJECT

PATIENCE = 300_000  # milliseconds: JupyterLab starts slowly on a machine that trains


@contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """Address of a JupyterLab on a copy of the notebooks in `folder`; every cell is in the page, no news prompt is."""
    shutil.copytree(PROJECT / "notebooks", folder / "notebooks")
    shutil.copy(PROJECT / "pyproject.toml", folder)
    settings = folder / "app-settings"
    settings.mkdir()
    (settings / "overrides.json").write_text(
        json.dumps(
            {
                "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
                # Otherwise JupyterLab leaves cells outside the window, and their outputs, out of the page.
                "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
            }
        )
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    options = [
        "--IdentityProvider.token=",
        "--expose-app-in-browser",
        f"--LabApp.app_settings_dir={settings}",
        f"--LabApp.workspaces_dir={folder / 'workspaces'}",  # not the user's, which another JupyterLab may have open
        f"--LabApp.user_settings_dir={folder / 'user-settings'}",
        f"--notebook-dir={folder}",
    ]
    environment = {**os.environ, "TOPOKD_ROOT": str(PROJECT), "JUPYTER_CONFIG_DIR": str(folder / "config")}
    log = (folder / "lab.log").open("wb")
    server = subprocess.Popen([*command, *options], cwd=folder, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(360):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=2).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        else:
            raise RuntimeError((folder / "lab.log").read_text()[-3000:])
        yield address
    finally:
        server.terminate()
        server.wait(20)


def open_notebook(page: Page, lab: str, path: str, problems: list[str]) -> None:
    """Open a notebook of the lab in a separate workspace, which restores no other notebook, and run all its cells."""
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{lab}/lab/workspaces/{Path(path).stem}/tree/{path}?reset")
    page.wait_for_function("window.jupyterapp && window.jupyterapp.commands", timeout=PATIENCE)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=PATIENCE, state="attached")
    page.wait_for_function(
        """path => {
          const context = window.jupyterapp.shell.currentWidget?.context;
          const kernel = context?.sessionContext?.session?.kernel;
          return context?.path === path && context.isReady && kernel?.status === 'idle';
        }""",
        arg=path,
        timeout=PATIENCE,
    )
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
