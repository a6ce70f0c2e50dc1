"""The study's answer: comparisons with intervals over seeds, streets and both, tests, and the power stated before."""

from __future__ import annotations

from typing import Any

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
from topokd.experiments.study.plan import Plan


def seed_scores(scores: StreetScores) -> dict[int, float]:
    """mIoU in percent of each seed on all streets together."""
    return dict(zip(scores.seeds, miou(scores.counts.sum(1)).tolist(), strict=True))


def power_table(plan: Plan, seeds: int) -> list[dict[str, Any]]:
    """What the protocol can find, at the corrected level of the strictest comparison; computed from the plan alone.

    Examples:
        >>> plan = Plan(rows={"a": {}, "b": {}}, comparisons=[("b", "a")], effects=(1.0,), expected_sd=0.8)
        >>> [(row["effect"], round(row["power"], 2)) for row in power_table(plan, 10)]
        [(0.0, 0.05), (1.0, 0.94)]
    """
    alpha = plan.alpha / max(1, len(plan.comparisons))
    return [
        {
            "effect": effect,
            "power": superiority_power(effect, plan.expected_sd, seeds, alpha),
            "power_of_equivalence": equivalence_power(plan.expected_sd, seeds, plan.margin, effect, alpha),
            "seeds_for_80_percent": seeds_needed(effect, plan.expected_sd, 0.8, alpha) if effect else None,
        }
        for effect in (0.0, *plan.effects)
    ]


def compare(plan: Plan, rows: dict[str, StreetScores]) -> list[dict[str, Any]]:
    """One record per comparison of the plan.

    ``verdict`` is "better" or "worse" if Holm's p-value of the paired t-test over seeds is below alpha, "equivalent" if
    that of the equivalence test is (with the margin of the plan), and "open" if neither is.

    Args:
        plan: the protocol.
        rows: counts of the runs by row.
    """
    found: list[dict[str, Any]] = []
    superiority: dict[str, float] = {}
    equivalence: dict[str, float] = {}
    for treatment, control in plan.comparisons:
        name = f"{treatment} - {control}"
        differences = pairs(seed_scores(rows[treatment]), seed_scores(rows[control]))
        over_seeds = paired_difference(differences)
        same = tost(differences, plan.margin, plan.alpha)
        superiority[name], equivalence[name] = over_seeds.p, same.p
        intervals = {"seeds": [over_seeds.low, over_seeds.high]}
        for over in ("streets", "both"):
            _, low, high = bootstrap_difference(rows[treatment], rows[control], over, draws=plan.draws)
            intervals[over] = [low, high]
        found.append({
            "comparison": name, "difference": over_seeds.mean, "sd": over_seeds.sd, "seeds": over_seeds.n,
            "intervals": intervals, "p": over_seeds.p, "p_equivalence": same.p,
        })  # fmt: skip
    corrected, same_corrected = holm(superiority), holm(equivalence)
    for record in found:
        name = record["comparison"]
        record |= {"p_holm": corrected[name], "p_equivalence_holm": same_corrected[name]}
        differs = corrected[name] < plan.alpha
        side = "better" if record["difference"] > 0 else "worse"
        record["verdict"] = side if differs else "equivalent" if same_corrected[name] < plan.alpha else "open"
    return found
