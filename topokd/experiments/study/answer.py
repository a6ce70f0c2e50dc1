"""The study's answer: comparisons with intervals over seeds, streets and both, tests, and the planned power."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from topokd.experiments.study.bootstrap import StreetScores, bootstrap_difference, miou
from topokd.experiments.study.inference import (
    equivalence_power,
    holm,
    paired_difference,
    pairs,
    seeds_needed,
    superiority_power,
    tost,
)
from topokd.experiments.study.plan import StudyPlan, Unit
from topokd.experiments.study.runner import Study
from topokd.params import to_dict
from topokd.project import project_path
from topokd.training.gradients import WEAK, gradient_share

FORCE = 10.0
"""Share of the segmentation loss's gradient above which a term moves the student almost alone."""


FAR = 5.0
"""Standard deviations from the median, estimated by the median distance, beyond which a seed is named."""

NORMAL = 0.6745  # median distance of a normal distribution from its median, in standard deviations


def seed_scores(scores: StreetScores) -> dict[int, float]:
    """mIoU in percent of each seed on all streets together."""
    return dict(zip(scores.seeds, miou(scores.counts.sum(1)).tolist(), strict=True))


def answer_path(profile: str) -> Path:
    """Path of ``study/answers/<profile>.json``, next to the protocols; the pipeline reads it but never writes it.

    >>> answer_path("study").name
    'study.json'
    """
    return project_path("study") / "answers" / f"{profile}.json"


def answer(study: Study) -> dict[str, Any]:
    """The results of a study, from the runs that are done; preliminary as long as runs are missing.

    Returns:
        ``plan``, ``seeds``, ``dataset``, ``done`` and ``planned`` (numbers of training runs), ``teachers`` (mIoU of
        each), ``power`` (computed from the plan alone), ``trials`` and ``chosen``, ``scores`` (mIoU by row and seed),
        ``curves`` (validation by row: steps, and the mean over seeds in percent), ``validate_scans`` (the number of
        scans of these curves), ``gradients`` (see `gradient_shares`), ``minutes`` (CPU minutes of all runs) and
        ``comparisons`` (those whose rows have at least two seeds in common).

    Raises:
        DataError: a record is damaged, or that of another unit or study.
    """
    plan, params = study.plan, study.params
    done = {unit: study.record(unit) for unit in study.units if study.is_done(unit)}
    rows = {row: scores for row in plan.rows if (scores := study.scores(row)) is not None}
    return {
        "profile": params.profile,
        "dataset": params.data.dataset,
        "plan": to_dict(plan),
        "seeds": list(params.seeds),
        "teacher_seeds": list(params.teacher_seeds),
        "labels": {row: params.rows[row].label for row in plan.rows},
        "colors": {row: params.rows[row].color for row in plan.rows},
        "done": len(done),
        "planned": len(study.units),
        "steps": {unit.row: record["steps"] for unit, record in done.items() if unit.kind != "trial"},
        "teachers": _teachers(done),
        "power": power_table(plan, len(params.seeds)),
        "trials": [
            _trial(record) | {"factor": plan.grid(unit.row)[unit.number]}
            for unit, record in done.items()
            if unit.kind == "trial"
        ],
        "chosen": {row: _trial(best) for row in plan.rows if (best := study.best_trial(row)) is not None},
        "scores": {row: seed_scores(scores) for row, scores in rows.items()},
        "places": {row: len(scores.streets) for row, scores in rows.items()},
        "curves": _curves(done),
        "validate_scans": params.train.validate_scans,
        "gradients": gradient_shares(done),
        "minutes": round(sum(record["cpu_seconds"] for record in done.values()) / 60, 1),
        "comparisons": compare(plan, rows),
    }


def _trial(record: dict[str, Any]) -> dict[str, Any]:
    failed = {"failed": record["failed"]} if "failed" in record else {}
    return {
        "unit": record["unit"], "row": record["row"], "seed": record["seed"], "miou": record["miou"], **failed,
        "weights": {name: term["weight"] for name, term in record["terms"].items()},
        "learning_rate_factor": record["learning_rate_factor"], "steps": record["steps"],
    }  # fmt: skip


def _teachers(done: dict[Unit, dict[str, Any]]) -> list[float]:
    """mIoU in percent of each teacher on all streets together; in a cross-validation, of all folds of a seed."""
    counts: dict[int, list[np.ndarray]] = {}
    for unit, record in done.items():
        if unit.kind == "teacher":
            counts.setdefault(unit.number, []).extend(map(np.array, record["streets"].values()))
    return [float(miou(np.sum(own, 0))) for own in counts.values()]


def _curves(done: dict[Any, dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Validation during training by row: steps, and the mean over seeds (and folds) of the mIoU in percent."""
    by_row: dict[str, list[dict[str, Any]]] = {}
    for unit, record in done.items():
        if unit.kind != "trial":
            by_row.setdefault(unit.row, []).append(record["history"])
    curves = {}
    for row, histories in by_row.items():
        steps = histories[0]["val_step"]
        values = [[100 * (v or 0.0) for v in h["val_miou"]] for h in histories if h["val_step"] == steps]
        curves[row] = {"step": steps, "miou": np.mean(values, 0).round(3).tolist()}
    return curves


def gradient_shares(done: dict[Unit, dict[str, Any]]) -> list[dict[str, Any]]:
    """lambda_k |g_k| / |g_seg| of every term of every row during training, over all seeds (and folds).

    Args:
        done: the records of the runs.

    Returns:
        A record per row and term: ``median`` over all measurements, ``largest`` with its ``seed``, ``fold`` and
        ``step``, in how many of ``runs`` it was above ``limit`` at some measurement (``strong``), and ``weak``, the
        median below which a term hardly trains the student.
    """
    runs: dict[tuple[str, str], list[tuple[Unit, list[int], list[float]]]] = {}
    for unit, record in done.items():
        watched = record["history"].get("gradients", {}) if unit.kind == "run" else {}
        for term in watched.get("terms", {}).keys() - {"seg"}:
            share = gradient_share(watched["terms"], term)
            runs.setdefault((unit.row, term), []).append((unit, watched["step"], share))
    records = []
    for (row, term), measured in sorted(runs.items()):
        points = [
            (value, unit.number, unit.fold, step)
            for unit, steps, share in measured
            for step, value in zip(steps, share, strict=True)
        ]
        largest, seed, fold, step = max(points, key=lambda point: point[0])
        records.append({
            "row": row, "term": term, "runs": len(measured),
            "median": float(np.median([value for value, *_ in points])), "largest": largest, "seed": seed,
            "fold": fold, "step": step,
            "limit": FORCE, "strong": sum(max(share) > FORCE for *_, share in measured), "weak": WEAK,
        })  # fmt: skip
    return records


def power_table(plan: StudyPlan, seeds: int) -> list[dict[str, Any]]:
    """Power of the verdict (see `compare`) for the strictest of all comparisons, computed from the plan alone.

    Examples:
        >>> plan = StudyPlan(rows={"a": {}, "b": {}}, comparisons=[("b", "a")], effects=(1.0,), expected_sd=0.8)
        >>> [(row["effect"], round(row["power"], 2)) for row in power_table(plan, 10)]
        [(0.0, 0.03), (1.0, 0.93)]
    """
    alpha = plan.alpha / max(1, len([*plan.comparisons, *plan.added]))
    return [
        {
            "effect": effect,
            "power": superiority_power(effect, plan.expected_sd, seeds, alpha, plan.margin),
            "power_of_equivalence": equivalence_power(plan.expected_sd, seeds, plan.margin, effect, alpha),
            "seeds_for_80_percent": (
                seeds_needed(effect, plan.expected_sd, 0.8, alpha, margin=plan.margin) if effect else None
            ),
        }
        for effect in (0.0, *plan.effects)
    ]


def compare(plan: StudyPlan, rows: dict[str, StreetScores]) -> list[dict[str, Any]]:
    """One record per comparison of the plan whose rows have at least two seeds in common.

    ``verdict`` is "equivalent" if Holm's p-value of the equivalence test (with the margin of the plan) is below alpha,
    "better" or "worse" if that of the paired t-test over seeds is and the difference is not smaller than the margin,
    and "open" otherwise. Holm's correction is for all comparisons of the plan, also those that have no runs yet.

    Args:
        plan: the protocol.
        rows: counts of the runs by row.
    """
    comparisons: list[dict[str, Any]] = []
    every = (*plan.comparisons, *plan.added)
    superiority, equivalence = (dict.fromkeys((f"{a} - {b}" for a, b in every), 1.0) for _ in range(2))
    for treatment, control in every:
        if treatment not in rows or control not in rows:
            continue
        pair = _common(rows, treatment, control)
        if len(pair[treatment].seeds) < 2:
            continue
        name = f"{treatment} - {control}"
        differences = pairs(seed_scores(pair[treatment]), seed_scores(pair[control]))
        over_seeds = paired_difference(differences)
        same = tost(differences, plan.margin, plan.alpha)
        superiority[name], equivalence[name] = over_seeds.p, same.p
        intervals = {"seeds": [over_seeds.low, over_seeds.high]}
        for over in ("streets", "both"):
            _, low, high = bootstrap_difference(pair[treatment], pair[control], over, draws=plan.draws)
            intervals[over] = [low, high]
        comparisons.append({
            "comparison": name, "treatment": treatment, "control": control, "added": (treatment, control) in plan.added,
            "difference": over_seeds.mean, "sd": over_seeds.sd, "seeds": over_seeds.n,
            "intervals": intervals, "p": over_seeds.p, "p_equivalence": same.p,
            "extreme": _extreme(sorted(pair[treatment].seeds), differences),
        })  # fmt: skip
    corrected, same_corrected = holm(superiority), holm(equivalence)
    for record in comparisons:
        name = record["comparison"]
        record |= {"p_holm": corrected[name], "p_equivalence_holm": same_corrected[name]}
        record["verdict"] = "open"
        if same_corrected[name] < plan.alpha:
            record["verdict"] = "equivalent"
        elif corrected[name] < plan.alpha and abs(record["difference"]) >= plan.margin:
            record["verdict"] = "better" if record["difference"] > 0 else "worse"
    return comparisons


def _extreme(seeds: Sequence[int], differences: Sequence[float]) -> dict[str, Any] | None:
    """The seed whose difference is the farthest from the median, if by more than `FAR` of their typical distance.

    Args:
        seeds: ascending, as those of `pairs`.
        differences: one per seed.
    """
    distances = np.abs(np.array(differences) - np.median(differences))
    farthest = int(distances.argmax())
    if len(seeds) < 4 or distances[farthest] <= FAR * float(np.median(distances)) / NORMAL:
        return None
    return {"seed": seeds[farthest], "difference": differences[farthest]}


def _common(rows: dict[str, StreetScores], *names: str) -> dict[str, StreetScores]:
    """These rows, restricted to the seeds that all of them have."""
    seeds = [seed for seed in rows[names[0]].seeds if all(seed in rows[name].seeds for name in names)]
    common = {}
    for name in names:
        own = rows[name]
        places = [own.seeds.index(seed) for seed in seeds]
        common[name] = dataclasses.replace(own, counts=own.counts[places], seeds=tuple(seeds))
    return common
