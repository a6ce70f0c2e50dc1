"""Tables, sentences and the record of notebook 40, over all runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from topokd.datasets import BENCHMARKS
from topokd.evaluation import ConfusionMatrix
from topokd.paper.results import Results, class_names
from topokd.paper.statistics import interval

METRICS = {"miou_skip": "mIoU, absent skipped", "miou_zero": "mIoU, absent 0", "accuracy": "accuracy"}


def score_frame(results: Results) -> pd.DataFrame:
    """One row per network: mean ± half-width in percent of each metric, and the seeds."""
    rows = [
        {
            "": results.labels[network],
            **{name: results.score(network, metric).text() for metric, name in METRICS.items()},
            "seeds": len(runs),
        }
        for network, runs in results.runs.items()
    ]
    return pd.DataFrame(rows, columns=["", *METRICS.values(), "seeds"]).set_index("")


def class_frame(results: Results) -> pd.DataFrame:
    """One row per class: mean IoU in percent of each network as text."""
    names = class_names(results)
    columns = {
        results.labels[network]: [interval(results.class_scores(network, name).values()).text() for name in names]
        for network in results.runs
    }
    return pd.DataFrame(columns, index=names)


def official_rows(results: Results) -> dict[str, dict[str, float]]:
    """Per network the scores of the benchmark's own tool in percent, mean over seeds; empty for the synthetic world."""
    benchmark = results.params.data.dataset
    if benchmark not in BENCHMARKS:
        return {}
    by_network = {}
    for network, runs in results.runs.items():
        rows = [
            BENCHMARKS[benchmark].official_scores(ConfusionMatrix.of_record(run["evaluation"])).rows()
            for run in runs.values()
        ]
        by_network[network] = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return by_network


def official_frame(results: Results) -> pd.DataFrame:
    """`official_rows` as a table, one column per network."""
    return pd.DataFrame({results.labels[network]: rows for network, rows in official_rows(results).items()}).round(2)


def summary_record(
    results: Results, tta: Mapping[str, Mapping[int, float]], breakdown: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """``results/<profile>/evaluation.json``: per network the metrics in percent and the IoU per class, mean over seeds.

    Args:
        results: all runs.
        tta: mIoU (0..1) on a few scans by network and by the number of rotations that were averaged.
        breakdown: the record of `topokd.evaluation.breakdown.Breakdown` for the first seed, by network.
    """
    record: dict[str, Any] = {"split": "val", "dataset": results.params.data.dataset, "variants": {}}
    for network, runs in results.runs.items():
        scores = {metric: results.score(network, metric) for metric in METRICS}
        record["variants"][network] = {
            "seeds": sorted(runs),
            **{m: {"mean": s.mean, "half_width": s.half_width, "n": s.n} for m, s in scores.items()},
            "iou": {name: interval(results.class_scores(network, name).values()).mean for name in class_names(results)},
        }
    record["test_time_augmentation"] = {v: {str(k): 100 * x for k, x in by.items()} for v, by in tta.items()}
    if official := official_rows(results):
        record["official"] = official
    if breakdown:
        record["breakdown"] = dict(breakdown)
    return record


NO_NETWORK = "No network is trained yet: run the stages `teacher` and `student`."


def boundary_sentence(breakdown: Mapping[str, Mapping[str, Any]], labels: Mapping[str, str]) -> str:
    """A sentence on the boundary and interior IoU of each network."""
    if not breakdown:
        return NO_NETWORK
    within = next(iter(breakdown.values()))["boundary"]["within_m"]
    scores = [
        f"“{labels[network]}”: {record['boundary']['miou']:.1f} against {record['interior']['miou']:.1f}"
        for network, record in breakdown.items()
    ]
    return f"mIoU (%) within {within:g} m of another class, against the other points: " + "; ".join(scores) + "."


def tta_sentence(tta: Mapping[str, Mapping[int, float]], scans: int, labels: Mapping[str, str]) -> str:
    """A sentence on the effect of averaging over rotations."""
    if not tta:
        return NO_NETWORK
    changes = []
    for network, scores in tta.items():
        (_, one), (views, many) = sorted(scores.items())
        changes.append(f"“{labels[network]}”: {100 * one:.1f} → {100 * many:.1f}")
    return f"Averaging {views} rotations about z on {scans} scans changes mIoU (%): " + "; ".join(changes) + "."
