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
            "Optimiser": _optimiser(results),
            **_topology(results),
            "Code": _code(results),
        }
    return pd.DataFrame({"Condition": list(rows), "Value": list(rows.values())})


def processors(results: Results) -> list[str]:
    """Names of the processors or GPUs that trained the networks, from the records of the notebook runs."""
    trained = [record for stem, record in _notebooks(results).items() if stem.startswith(("20_teacher", "30_student"))]
    return sorted(
        {r["device"] if r.get("device", "cpu") != "cpu" else r["processor"] for r in trained if "processor" in r}
    )


def _notebooks(results: Results) -> dict[str, dict[str, Any]]:
    """The records of the profile's notebook runs, by file stem."""
    files = sorted(results.folder.glob("provenance/*.json"))
    return {file.stem: read_json(file) for file in files if not is_leftover(file, results.params)}


def _optimiser(results: Results) -> str:
    train = results.params.train
    rate, factor, clip = train.optimizer.lr, train.student_lr_factor, train.optimizer.clip_norm
    return (
        f"AdamW, one cycle; largest learning rate {rate:g}, of students {rate * factor:g}; weight decay "
        f"{train.optimizer.weight_decay:g}; gradients clipped at a norm of {clip:g}"
    )


def _topology(results: Results) -> dict[str, str]:
    """The options of L_topo, one line for each way in which rows use it."""
    terms = [row.terms["topo"] for row in results.rows.values() if "topo" in row.terms]
    shown = dict.fromkeys(
        f"stage {t['stage']}, at most M = {t['num_points']} points of a cloud, normalisation {t['normalize']}, degrees "
        f"{' and '.join(map(str, t['dims']))}, gradient {t['gradient']}"
        for t in terms
    )
    return {"L_topo": "; ".join(shown)} if shown else {}


def _code(results: Results) -> str:
    """Whether all notebooks ran with committed code: those that did not belong to no commit."""
    records = _notebooks(results).values()
    dirty = sum(record.get("dirty") is not False for record in records)
    return f"{dirty} of {len(records)} notebooks ran with changes that no commit has" if dirty else "committed"


def shared(runs: list[dict[str, Any]], name: str, default: str = "not recorded") -> str:
    """The value of a field that all runs share, or all of its values."""
    return ", ".join(sorted({str(run[name]) for run in runs if name in run})) or default


def _terms(run: dict[str, Any]) -> list[str]:
    return [f"{term} (λ = {settings['weight']:g}{_temperature(settings)})" for term, settings in run["terms"].items()]


def _temperature(settings: dict[str, Any]) -> str:
    return f", T = {settings['temperature']:g}" if "temperature" in settings else ""


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
