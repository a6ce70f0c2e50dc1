"""What the benchmarks' records and pages share."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from importlib import metadata
from typing import Any

from topokd.pipeline.provenance import processor_name


def about(packages: Iterable[str]) -> dict[str, Any]:
    """Machine, date and the versions of those of ``packages`` that are installed."""
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "device": f"{processor_name()}, {os.cpu_count()} cores",
        "date": time.strftime("%Y-%m-%d"),
        "versions": versions,
    }


def signed(found: dict[str, Any]) -> str:
    """The line below a table: where and when it was measured."""
    line = f"{found['device']}, {found['date']}; {', '.join(f'{k} {v}' for k, v in found['versions'].items())}."
    return f"{line} {found.get('note', '')}".rstrip()


def table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]
