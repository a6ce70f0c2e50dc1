"""Show, outside a notebook, the progress that the code inside it reports (see `topokd.progress`)."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, with hours if there are any.

    Examples:
        >>> clock(75), clock(3700)
        ('1:15', '1:01:40')
    """
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def last_report(file: Path) -> dict | None:
    """The newest complete line of a progress file; None while there is none."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        return json.loads(lines[-1]) if lines else None
    except (OSError, json.JSONDecodeError):
        return None


def earlier_seconds() -> float:
    """What processes that were stopped had spent on the work whose progress is shown, as `report_earlier` says."""
    file = Path(os.environ.get("TOPOKD_PROGRESS", ""))
    if not file.is_file():
        return 0.0
    seconds = 0.0
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # a line of a process that was killed while it wrote
            seconds += json.loads(line).get("earlier_seconds", 0.0)
    return seconds


@contextlib.contextmanager
def show_progress(name: str, every: float = 5.0) -> Iterator[None]:
    """Set ``$TOPOKD_PROGRESS`` to the path of a progress file, and print the reports that are written there.

    Prints nothing if the variable is already set, because the caller (the scheduler) then shows the reports.

    Args:
        name: name of the work at the start of each line.
        every: seconds between two reads of the file.
    """
    if os.environ.get("TOPOKD_PROGRESS"):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="topokd-progress-") as folder:
        file, stop = Path(folder, "progress.jsonl"), threading.Event()
        os.environ["TOPOKD_PROGRESS"] = str(file)
        watcher = threading.Thread(target=_watch, args=(name, file, stop, every), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()
            os.environ.pop("TOPOKD_PROGRESS", None)


def _watch(name: str, file: Path, stop: threading.Event, every: float) -> None:
    task, started, first, shown = None, time.monotonic(), 0, None
    while not stop.wait(every):
        report = last_report(file)
        if report is None or report == shown:
            continue
        shown = report
        if not report["total"]:  # a notice
            print(f"{name} · {report['task']}", file=sys.stderr, flush=True)
            continue
        if report["task"] != task:
            task, started, first = report["task"], time.monotonic(), report["done"]
        done, total = report["done"] - first, report["total"] - first
        left = f", {clock((time.monotonic() - started) / done * (total - done))} left" if done > 0 else ""
        note = f" · {report['note']}" if report["note"] else ""
        print(f"{name} · {task} {report['done']}/{report['total']}{left}{note}", file=sys.stderr, flush=True)
