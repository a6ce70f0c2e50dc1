"""From a network and a benchmark's data to a submission, and the validation of one against the data.

The formats are those of the benchmarks (``topokd/datasets/<name>/submission.py``). Writers go through a temporary file,
so an interrupted run leaves nothing that looks complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxtyping import Int64
from numpy import ndarray
from torch import nn

from topokd.data.dataset import ScanDataset
from topokd.datasets import find_benchmark
from topokd.datasets.benchmark import Submission
from topokd.errors import DataError
from topokd.evaluation.predict import predict
from topokd.progress import Progress


def submission_split(benchmark: str, root: str | Path, split: str = "test", **options: Any) -> ScanDataset:
    """The scans that a submission covers.

    Args:
        benchmark: name of the benchmark.
        root: folder of its data.
        split: one that its server evaluates.
        **options: of the reader, as ``sweeps`` or ``frames`` (`topokd.datasets.benchmark.ReaderOptions`).

    Raises:
        DataError: the server does not evaluate this split, or the data cannot be read.
    """
    splits = _submission_of(benchmark).splits
    chosen = find_benchmark(benchmark)
    if split not in splits:
        raise DataError(
            f"split is {split!r}; the server of {chosen.title} evaluates only {' and '.join(splits)}: for other splits "
            "use `topokd evaluate`"
        )
    return chosen.open(root, split, **{"cache": 1} | options)


def write_submission(
    benchmark: str,
    model: nn.Module,
    dataset: ScanDataset,
    voxel_size: float,
    output: str | Path,
    tta: int = 1,
    split: str = "test",
    details: Mapping[str, Any] | None = None,
) -> None:
    """Predict every scan of ``dataset`` and write the benchmark's file or folder.

    Scans are predicted one by one as the writer takes them. Points of accumulated sweeps are not part of a submission.

    Args:
        benchmark: name of the benchmark.
        model: the network.
        dataset: the scans, from `submission_split`.
        voxel_size: metres.
        output: where to write.
        tta: number of rotations that are averaged.
        split: the split of ``dataset``.
        details: other fields that the server requires (``Submission.details``).

    Raises:
        DataError: unknown or invalid details, or data that cannot make a valid submission.
    """
    submission, details = _submission_of(benchmark), dict(details or {})
    unknown = sorted(set(details) - set(submission.details))
    if unknown:
        known = ", ".join(submission.details) or "none"
        raise DataError(f"a submission to {benchmark} has no detail {unknown[0]!r}; known are: {known}")
    submission.prepare(dataset, details)

    def predictions() -> Iterator[tuple[int, Int64[ndarray, " _"]]]:
        for index in Progress(range(len(dataset)), "predicting"):
            yield index, predict(model, dataset[index], voxel_size, tta)

    submission.write(Path(output), dataset, predictions(), split, details)


def validate_submission(benchmark: str, path: str | Path, dataset: ScanDataset, split: str = "test") -> list[str]:
    """The reasons for which the benchmark's server would reject ``path``; empty if there are none.

    A submission that matches ``dataset`` is at best as complete as the data: their size is compared with the published.

    Args:
        benchmark: a key of `topokd.datasets.BENCHMARKS`.
        path: the submission.
        dataset: the split's scans.
        split: name of the split.
    """
    return _submission_of(benchmark).validate(Path(path), dataset, split)


def _submission_of(benchmark: str) -> Submission:
    submission = find_benchmark(benchmark).submission
    if submission is None:
        raise DataError(f"{benchmark} has no server that takes submissions: use `topokd evaluate`")
    return submission
