"""Check a data set on disk: completeness, damaged files, and statistics against the published ones.

Every scan is read once. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from topokd.datasets import BENCHMARKS, Benchmark, find_benchmark
from topokd.datasets.benchmark import Release
from topokd.datasets.report import SplitReport, compare_shares, compare_size, new_report, read_all
from topokd.errors import AbsentSplitError, DataError


@dataclass
class CheckReport:
    """Result of `check_dataset`."""

    root: Path
    dataset: str
    splits: list[SplitReport]

    @property
    def problems(self) -> list[str]:
        """All problems of all splits; empty if there are none (a subset is not a problem)."""
        return [problem for split in self.splits for problem in split.problems]


def detect_dataset(root: str | Path) -> Benchmark:
    """Detect the benchmark from the folders in ``root``.

    Raises:
        DataError: the folders do not exist.
    """
    require_root(Path(root), known_folders())
    for benchmark in BENCHMARKS.values():
        if benchmark.is_at(Path(root)):
            return benchmark
    raise DataError(f"{root} is not a data set that topokd knows; {known_folders()}")


def require_root(root: Path, hint: str) -> None:
    """Check that ``root`` is a folder.

    Raises:
        DataError: it is not; the message ends with ``hint``.
    """
    if not root.is_dir():
        raise DataError(f"{root} {'is a file' if root.exists() else 'does not exist'}; {hint}")


def known_folders() -> str:
    """The folders of each benchmark, for error messages."""
    folders = "; ".join(f"{', '.join(b.folders)} ({b.title})" for b in BENCHMARKS.values())
    return f"name the folder that holds one of: {folders}"


def check_dataset(root: str | Path, dataset: str | None = None) -> CheckReport:
    """Read every scan of every split present, and compare with the published numbers.

    A problem is a file that is missing, damaged or superfluous, labels that do not match their scan, a split's folder
    without scans, a split that is larger than the published one or lacks a few scans of it, and in complete splits a
    class with a share far from the published one. Poses and sweeps, which a single scan does not need, are a note if
    all are missing, and a problem if some are.

    Args:
        root: folder of the data set.
        dataset: name of the benchmark; None: detected from the folders.

    Raises:
        DataError: the benchmark is unknown or ``root`` holds none of its splits.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from topokd.data import Scan
        >>> from topokd.datasets.semantickitti.files import write_scan
        >>> root = tempfile.mkdtemp()
        >>> write_scan(root, 8, 0, Scan(np.ones((5, 3)), np.zeros(5), np.full(5, 8)))
        >>> report = check_dataset(root)
        >>> report.dataset, [(split.name, split.scans, split.subset) for split in report.splits], report.problems
        ('semantickitti', [('val', 1, True)], [])
    """
    root = Path(root)
    require_root(root, known_folders())
    benchmark = detect_dataset(root) if dataset is None else find_benchmark(dataset)
    splits = list(benchmark.check(root) if benchmark.check else _check_splits(benchmark, root))
    if not splits:
        raise DataError(f"{root} has no split of {benchmark.title}; name the folder that holds it")
    for name, release in benchmark.releases.items():
        compare_shares(splits, name, release)
    return CheckReport(root, benchmark.name, splits)


def _check_splits(benchmark: Benchmark, root: Path) -> Iterator[SplitReport]:
    """For benchmarks without a check: read all splits present, and compare their number of scans."""
    release = benchmark.releases.get(benchmark.name, Release({}))
    for split in benchmark.splits:
        try:
            dataset = benchmark.open(root, split, on_bad_scan="keep", cache=0)
        except AbsentSplitError:
            continue
        report = new_report(split, benchmark.name, release)
        report.sequences, report.size = len(dataset.sequences), len(dataset)
        read_all(dataset, report)
        yield compare_size(report)
