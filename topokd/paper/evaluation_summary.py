"""What notebook 40 shows and keeps of all runs together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from topokd.datasets import BENCHMARKS
from topokd.evaluation import ConfusionMatrix
from topokd.paper.results import NAMES, Results
from topokd.paper.segmentation_tables import class_names
from topokd.paper.statistics import interval

METRICS = {"miou_skip": "mIoU, absent skipped", "miou_zero": "mIoU, absent 0", "accuracy": "accuracy"}


def score_frame(results: Results) -> pd.DataFrame:
    """One row per variant: mean ± half-width in percent of each metric, and the seeds."""
    rows = [
        {
            "": NAMES[variant],
            **{name: results.score(variant, metric).text() for metric, name in METRICS.items()},
            "seeds": len(runs),
        }
        for variant, runs in results.runs.items()
    ]
    return pd.DataFrame(rows, columns=["", *METRICS.values(), "seeds"]).set_index("")


def class_frame(results: Results) -> pd.DataFrame:
    """One row per class: mean IoU in percent of each variant as text."""
    names = class_names(results)
    columns = {
        NAMES[variant]: [interval(results.class_scores(variant, name).values()).text() for name in names]
        for variant in results.runs
    }
    return pd.DataFrame(columns, index=names)


def official_rows(results: Results) -> dict[str, dict[str, float]]:
    """Per variant what the benchmark's own tool prints, in percent, mean over seeds; none for the synthetic world."""
    benchmark = results.params.data.dataset
    if benchmark not in BENCHMARKS:
        return {}
    found = {}
    for variant, runs in results.runs.items():
        rows = [
            BENCHMARKS[benchmark].official_scores(ConfusionMatrix.of_record(run["evaluation"])).rows()
            for run in runs.values()
        ]
        found[variant] = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return found


def official_frame(results: Results) -> pd.DataFrame:
    """:func:`official_rows` as a table, one column per variant."""
    return pd.DataFrame({NAMES[variant]: rows for variant, rows in official_rows(results).items()}).round(2)


def summary_record(
    results: Results, tta: Mapping[str, Mapping[int, float]], breakdown: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """``results/<profile>/evaluation.json``: per variant the metrics in percent and the IoU per class, mean over seeds.

    ``tta[variant][views]``: mIoU (0..1) on a few scans with so many rotations averaged; ``breakdown[variant]``: the
    record of :class:`topokd.evaluation.breakdown.Breakdown` for the first seed.
    """
    record: dict[str, Any] = {"split": "val", "dataset": results.params.data.dataset, "variants": {}}
    for variant, runs in results.runs.items():
        scores = {metric: results.score(variant, metric) for metric in METRICS}
        record["variants"][variant] = {
            "seeds": sorted(runs),
            **{m: {"mean": s.mean, "half_width": s.half_width, "n": s.n} for m, s in scores.items()},
            "iou": {name: interval(results.class_scores(variant, name).values()).mean for name in class_names(results)},
        }
    record["test_time_augmentation"] = {v: {str(k): 100 * x for k, x in by.items()} for v, by in tta.items()}
    if official := official_rows(results):
        record["official"] = official
    if breakdown:
        record["breakdown"] = dict(breakdown)
    return record


def boundary_sentence(breakdown: Mapping[str, Mapping[str, Any]]) -> str:
    """Boundary against interior IoU of each network, in words."""
    if not breakdown:
        return "No network is trained yet: run the stages `teacher` and `student`."
    within = next(iter(breakdown.values()))["boundary"]["within_m"]
    found = [
        f"{NAMES[v].lower()}: {b['boundary']['miou']:.1f} against {b['interior']['miou']:.1f}"
        for v, b in breakdown.items()
    ]
    return f"mIoU (%) nearer than {within:g} m to another class, against the rest: " + "; ".join(found) + "."


def tta_sentence(tta: Mapping[str, Mapping[int, float]], scans: int) -> str:
    """What averaging over rotations changed, in words."""
    if not tta:
        return "No network is trained yet: run the stages `teacher` and `student`."
    changes = []
    for variant, scores in tta.items():
        (_, one), (views, many) = sorted(scores.items())
        changes.append(f"{NAMES[variant].lower()}: {100 * one:.1f} → {100 * many:.1f}")
    return f"Averaging {views} rotations about z on {scans} scans changes mIoU (%) of the " + "; ".join(changes) + "."
