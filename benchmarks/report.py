"""Records (.json) and pages (.md) of all benchmarks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from topokd.io import read_json, write_json, write_text
from topokd.machine import device_name, processor_name

Rows = list[dict[str, Any]]


def keep(
    script: str,
    title: str,
    parts: Mapping[str, Iterable[dict[str, Any]]],
    pages: Mapping[str, Callable[[Rows], list[str]]],
    packages: Iterable[str],
    dry: bool,
    note: str = "",
    kept: bool = False,
) -> None:
    """Print the rows that ``parts`` yield, and store them in a .json and a .md next to ``script``.

    Parts that are not measured, or yield no rows, keep their rows in the .json.

    Args:
        script: path of the benchmark.
        title: title of the page.
        parts: rows of each part, measured while they are read.
        pages: writes the section of each part.
        packages: packages whose versions are recorded.
        dry: print only.
        note: a sentence on how it was measured.
        kept: whether some rows come from an earlier record, whose versions are then kept too.
    """
    record_file = Path(script).with_suffix(".json")
    record = read_json(record_file) if record_file.is_file() else {}
    machine = about(packages)
    for part, rows in parts.items():
        entries: Rows = []
        versions = {**(record.get(part, {}).get("versions", {}) if kept else {}), **machine["versions"]}
        for row in rows:
            shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items() if not isinstance(v, dict)}
            print(", ".join(f"{k} {v}" for k, v in shown.items()), flush=True)
            entries.append(row)
            record[part] = {**machine, "versions": versions, "note": note, "rows": entries}
            if not dry:  # after each row, so that an interruption loses nothing
                write_json(record_file, record)
                write_text(record_file.with_suffix(".md"), page(script, title, pages, record))


def page(script: str, title: str, pages: Mapping[str, Callable[[Rows], list[str]]], record: dict[str, Any]) -> str:
    """All parts as Markdown, computed from the record alone."""
    lines = [f"# {title}", "", f"Written by `python benchmarks/{Path(script).name}`."]
    for name, write in pages.items():
        if name in record and record[name]["rows"]:
            lines += ["", *write(record[name]["rows"]), "", signed(record[name])]
    return "\n".join(lines) + "\n"


def about(packages: Iterable[str]) -> dict[str, Any]:
    """Machine, date and the versions of the installed ones of ``packages``."""
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    gpu = f"{device_name('cuda')}; " if torch.cuda.is_available() else ""
    return {
        "device": f"{gpu}{processor_name()}, {os.cpu_count()} cores",
        "date": time.strftime("%Y-%m-%d"),
        "versions": versions,
    }


def signed(record: dict[str, Any]) -> str:
    """The line below a table: machine, date and versions."""
    line = f"{record['device']}, {record['date']}; {', '.join(f'{k} {v}' for k, v in record['versions'].items())}."
    return f"{line} {record.get('note', '')}".rstrip()


def table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]
