"""Compares regenerated results with the committed ones, for the last lines of ``make repro``.

The comparison says whether all numbers are equal and, if not, gives the largest difference in points of mIoU, the
findings with a changed answer, and the files that differ. Timings and descriptions of the machine are left out.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from topokd.errors import DataError, ParameterError
from topokd.io import write_text
from topokd.paper.findings import findings
from topokd.paper.readme import ANSWERS
from topokd.paper.results import Results
from topokd.project import run_name

SKIPPED = ("timings", "provenance")  # folders with durations and machines
DESCRIPTIVE = ("versions", "device", "platform", "processor", "cores")  # JSON fields that describe the machine


@runtime_checkable
class Reference(Protocol):
    """Another copy of the results."""

    @property
    def name(self) -> str:
        """Name in messages."""

    def files(self) -> set[str]:
        """Paths of its files, relative to the results folder, with ``/``."""

    def read(self, path: str) -> str:
        """Text of one file."""


@dataclass(frozen=True)
class FolderReference:
    """Results kept in another folder."""

    folder: Path

    @property
    def name(self) -> str:
        """Name in messages."""
        return f"folder {self.folder.name}"

    def files(self) -> set[str]:
        """Every file below the folder."""
        return {p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file()}

    def read(self, path: str) -> str:
        """Text of one file."""
        return (self.folder / path).read_text(encoding="utf-8")


@dataclass(frozen=True)
class GitReference:
    """Results as committed at ``revision`` of the repository that holds ``folder``."""

    folder: Path
    revision: str = "HEAD"

    @property
    def name(self) -> str:
        """Name in messages."""
        return f"git {self.revision}"

    def files(self) -> set[str]:
        """Every committed file below the folder.

        Raises:
            DataError: git is not installed, or the folder is not in a repository.
        """
        listed = self._git("ls-tree", "-r", "-z", "--name-only", self.revision, "--", ".")
        return {name for name in listed.split("\0") if name}

    def read(self, path: str) -> str:
        """Text of one committed file."""
        return self._git("show", f"{self.revision}:./{path}")

    def _git(self, *arguments: str) -> str:
        try:
            done = subprocess.run(["git", "-C", str(self.folder), *arguments], capture_output=True, check=True)
        except FileNotFoundError:
            raise DataError("git is not installed") from None
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode("utf-8", "replace").strip().splitlines()
            raise DataError(
                f"git cannot show the committed results ({said[-1] if said else 'without a message'})"
            ) from error
        return done.stdout.decode("utf-8")


@dataclass(frozen=True)
class FileDifference:
    """One file that differs: ``missing`` (only committed), ``new`` (only regenerated), or ``changed``."""

    path: str
    kind: str
    numbers: int = 0  # numbers that differ
    words: int = 0  # other entries that differ: texts, lengths, missing fields


@dataclass(frozen=True)
class ComparedResults:
    """Result of `compare`."""

    reference: str
    checked: int
    differences: tuple[FileDifference, ...]
    problem: str = ""  # why nothing could be compared
    miou: tuple[str, float] | None = None  # run with the largest difference, and the difference in points
    answers: tuple[str, ...] = ()  # findings with a changed answer: the question, and both in the README's words

    @property
    def equal(self) -> bool:
        """Whether something was compared and all of it is the same."""
        return not self.problem and self.checked > 0 and not self.differences

    def __str__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """A few lines for the terminal, the most important first."""
        if self.problem:
            return f"Not compared with committed results: {self.problem}."
        if not self.checked and not self.differences:
            return f"Not compared: {self.reference} has no results of this profile yet."
        if self.equal:
            return f"All numbers of {self.checked} regenerated files equal the committed ones ({self.reference})."
        parts = []
        if self.miou and self.miou[1] > 0:
            parts.append(f"The largest difference in mIoU is {self.miou[1]:.2g} points ({self.miou[0]})")
        elif self.miou:
            parts.append("The mIoU of every run is the same")
        if self.miou:
            parts.append(f"Answers that changed: {'; '.join(self.answers) or 'none'}")
        texts = {"changed": "Differ from the committed ones", "new": "Not committed", "missing": "Not regenerated"}
        for kind, text in texts.items():
            names = [d.path for d in self.differences if d.kind == kind]
            if names:
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                parts.append(f"{text}: {', '.join(names[:3])}{more}")
        parts.append(f"Compared: {self.checked} files with {self.reference}")
        if any(d.kind == "changed" for d in self.differences):
            parts.append("Another processor or library version changes the last digits, and training amplifies them")
        return ".\n".join(parts) + "."


def compare(results: str | Path, reference: Reference | str | Path | None = None) -> ComparedResults:
    """Compare the JSON files and tables of a results folder with another copy.

    A missing git or repository is not an error; the comparison then gives the reason.

    Args:
        results: folder of regenerated results.
        reference: the other copy, or its folder; default: the files at git HEAD.
    """
    results = Path(results)
    other: Reference
    if reference is None:
        other = GitReference(results)
    else:
        other = FolderReference(Path(reference)) if isinstance(reference, str | Path) else reference
    try:
        committed = {path for path in other.files() if compared(path)}
    except DataError as error:
        return ComparedResults(other.name, 0, (), str(error))
    here = {path for path in FolderReference(results).files() if compared(path)}
    if not committed:
        return ComparedResults(other.name, 0, ())
    differences = [FileDifference(path, "missing") for path in sorted(committed - here)]
    differences += [FileDifference(path, "new") for path in sorted(here - committed)]
    for path in sorted(here & committed):
        difference = _compare_file(path, other.read(path), (results / path).read_text(encoding="utf-8"))
        if difference.numbers or difference.words:
            differences.append(difference)
    miou, answers = _compare_findings(results, other) if differences else (None, ())
    return ComparedResults(other.name, len(here & committed), tuple(differences), miou=miou, answers=answers)


def _compare_findings(results: Path, other: Reference) -> tuple[tuple[str, float] | None, tuple[str, ...]]:
    """The run with the largest difference in mIoU, and the changed answers; None if a copy cannot be read.

    Committed runs are read with the parameters of the regenerated ones, so that a renamed parameter does not matter.
    """
    try:
        new = Results.read(results)
        with tempfile.TemporaryDirectory() as folder:
            for path in (path for path in other.files() if path.startswith("runs/")):
                write_text(Path(folder) / path, other.read(path))
            write_text(Path(folder) / "params.yaml", (results / "params.yaml").read_text(encoding="utf-8"))
            old = dataclasses.replace(Results.read(folder), studies=new.studies)  # of which there is one copy
    except (DataError, ParameterError, OSError):
        return None, ()
    differences = {}
    for network in new.looks:
        before, after = old.scores(network), new.scores(network)
        for seed in before.keys() & after.keys():
            differences[run_name(network, seed)] = abs(after[seed] - before[seed])
    if not differences:
        return None, ()
    worst = max(sorted(differences), key=lambda run: differences[run])
    answers = tuple(
        f"“{now.question}” {ANSWERS[then.answer]} → {ANSWERS[now.answer]}"
        for then, now in zip(findings(old), findings(new), strict=True)
        if then.answer != now.answer
    )
    return (worst, differences[worst]), answers


def compared(path: str) -> bool:
    """Whether a results file has numbers that must not change.

    >>> compared("runs/full-seed0.json"), compared("timings/table8.json"), compared("report.html")
    (True, False, False)
    """
    parts = path.split("/")
    return not set(parts[:-1]) & set(SKIPPED) and (
        path.endswith(".json") or (path.endswith(".csv") and "tables" in parts)
    )


def _compare_file(path: str, old: str, new: str) -> FileDifference:
    if old == new:
        return FileDifference(path, "changed")
    read = json.loads if path.endswith(".json") else _table
    try:
        before, after = read(old), read(new)
    except ValueError:
        return FileDifference(path, "changed", words=1)
    differences = list(_differences(before, after))
    return FileDifference(path, "changed", differences.count("number"), differences.count("word"))


def _table(text: str) -> dict[str, Any]:
    """Lines of a result table by row, column and source, without timings; numeric cells as numbers."""
    table: dict[str, Any] = {}
    for index, line in enumerate(csv.DictReader(io.StringIO(text))):
        if line.get("varies"):
            continue
        key = "/".join(line.get(name) or "" for name in ("row", "column", "source")) if "source" in line else str(index)
        table[key] = {name: _number(cell) for name, cell in line.items()}
    return table


def _number(cell: str | None) -> float | str | None:
    try:
        return float(cell or "")
    except ValueError:
        return cell


def _differences(old: Any, new: Any) -> Iterator[str]:
    """ "number" for each pair of numbers that differ, "word" for anything else that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in (old.keys() | new.keys()) - set(DESCRIPTIVE):
            if key in old and key in new:
                yield from _differences(old[key], new[key])
            else:
                yield "word"
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield "word"
        for before, after in zip(old, new, strict=False):
            yield from _differences(before, after)
    elif _is_number(old) and _is_number(new):
        if old != new and not (math.isnan(old) and math.isnan(new)):
            yield "number"
    elif old != new:
        yield "word"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
