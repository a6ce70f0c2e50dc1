"""mIoU of every run in one small file, which ``dvc metrics show`` and ``dvc exp show`` read."""

from __future__ import annotations

from pathlib import Path

from topokd.errors import DataError
from topokd.io import read_json, write_json
from topokd.params import Params
from topokd.project import TEACHER, run_record


def write_metrics(params: Params) -> Path:
    """Write ``results/<profile>/metrics.json``: mIoU in percent per row and seed, and the mean over seeds.

    Args:
        params: resolved parameters of a profile with complete runs.

    Returns:
        Path of the file.

    Raises:
        DataError: the record of a run is missing or damaged.
    """
    metrics = {}
    for row in (TEACHER, *params.train_rows):
        seeds = params.teacher_seeds if row == TEACHER else params.seeds
        values = {f"seed{seed}": 100 * _miou(run_record(params.results, row, seed)) for seed in seeds}
        values["mean"] = sum(values.values()) / len(values)
        metrics[row] = {name: round(value, 3) for name, value in values.items()}
    path = params.results / "metrics.json"
    write_json(path, {"miou": metrics})
    return path


def _miou(file: Path) -> float:
    """mIoU in the record of a run."""
    record = read_json(file)
    try:
        return float(record["evaluation"]["miou_skip"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file} has no evaluation.miou_skip: delete it and train the run again") from error
