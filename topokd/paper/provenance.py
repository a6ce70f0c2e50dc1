"""Which runs the report is made of, and the conditions they ran under."""

from __future__ import annotations

from typing import Any

import pandas as pd

from topokd.io import read_json
from topokd.paper.leftovers import is_leftover
from topokd.paper.results import Results


def runs(results: Results) -> pd.DataFrame:
    """One line per run: its loss terms with their weights, network, length of training and scores in percent."""
    lines = []
    for run in results.all_runs():
        evaluation = run["evaluation"]
        lines.append(
            {
                "Run": run["run"],
                "Loss terms": " + ".join(["cross-entropy", *_terms(run)]),
                "Preset": run["preset"],
                "Parameters": f"{run['parameters']:,}",
                "Steps": run["steps"],
                "Batch": run.get("batch_size", ""),
                "mIoU (%)": _percent(evaluation[results.metric]),
                "mIoU, absent 0 (%)": _percent(evaluation["miou_zero"]),
                "Accuracy (%)": _percent(evaluation["accuracy"]),
            }
        )
    return pd.DataFrame(lines)


def conditions(results: Results) -> pd.DataFrame:
    """Device, versions, seeds, validation split and voxels of the runs."""
    runs = list(results.all_runs())
    rows = {"Runs": "none yet"}
    if runs:
        evaluation, data = runs[0]["evaluation"], results.params.data
        device = ", ".join(processors(results)) or shared(runs, "device")
        rows = {
            "Device": f"{device}, threads per run: {shared(runs, 'threads')}",
            "Versions": ", ".join(f"{name} {version}" for name, version in runs[0].get("versions", {}).items()),
            "Seeds": ", ".join(map(str, results.params.seeds)),
            "Validation": f"{evaluation['scans']} scans, {evaluation['points']:,} labelled points, {results.dataset}",
            "Voxels": f"{data.voxel_size:g} m; training crops of {data.crop_voxels:,} voxels",
        }
    return pd.DataFrame({"Condition": list(rows), "Value": list(rows.values())})


def processors(results: Results) -> list[str]:
    """Names of the processors or GPUs that trained the networks, from the records of the notebook runs."""
    files = [*results.folder.glob("provenance/20_teacher*.json"), *results.folder.glob("provenance/30_student*.json")]
    records = [read_json(file) for file in sorted(files) if not is_leftover(file, results.params)]
    return sorted(
        {r["device"] if r.get("device", "cpu") != "cpu" else r["processor"] for r in records if "processor" in r}
    )


def shared(runs: list[dict[str, Any]], name: str, default: str = "not recorded") -> str:
    """The value of a field that all runs share, or all of its values."""
    return ", ".join(sorted({str(run[name]) for run in runs if name in run})) or default


def _terms(run: dict[str, Any]) -> list[str]:
    return [f"{term} (λ = {settings['weight']:g}{_temperature(settings)})" for term, settings in run["terms"].items()]


def _temperature(settings: dict[str, Any]) -> str:
    return f", T = {settings['temperature']:g}" if "temperature" in settings else ""


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
