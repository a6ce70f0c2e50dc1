"""The experiment's answer: every arm against training without L_topo, the trend over the doses, and one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from topokd.experiments.dose.plan import TERM, Arm, DosePlan, arms
from topokd.experiments.study.inference import Difference, paired_difference, tost
from topokd.params import Params
from topokd.training.gradients import gradient_share

MEASURES = ("distance", "miou", "boundary_miou", "fragments", "thin_fragments", "missed", "thin_missed", "ece")
"""In the order of the figure; all but ``distance`` and the fragments are in percent."""

Records = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""Records by arm (or ``teacher``) and seed: see `topokd.experiments.dose.runner.Dose.records`."""


def answer(plan: DosePlan, params: Params, records: Records) -> dict[str, Any]:
    """The experiment's answer from the runs that are done.

    Args:
        plan: the protocol.
        params: its profile.
        records: records of the runs that are done.

    Returns:
        ``done`` and ``planned``: numbers of runs; ``arms``: one entry per arm with records, its values by measure and
        seed, the weight of L_topo (median over steps and seeds), and its paired difference from dose 0 with the 95 %
        interval; ``trend``: by measure, the change from the first to the last dose on the least-squares line over the
        doses in order, by seed, with its interval; ``teacher``: means over teachers; ``reference``: the doses' value of
        every parameter of L_topo that variants change; ``sentence``.
    """
    every = arms(plan)
    control = records.get(every[0].name, {})
    doses = [arm for arm in every if arm.axis == "share"]
    return {
        "dataset": params.data.dataset,
        "done": sum(map(len, records.values())),
        "planned": len(params.teacher_seeds) + len(every) * len(params.seeds),
        "arms": [_arm(arm, records[arm.name], control) for arm in every if records.get(arm.name)],
        "trend": {name: _as_dict(slope) for name in MEASURES if (slope := trend(doses, records, name))},
        "teacher": _means([_measured(record) for record in records.get("teacher", {}).values()]),
        "reference": {axis: params.rows[plan.row].terms[TERM][axis] for axis in plan.variants},
        "sentence": sentence(plan, records),
    }


def trend(doses: list[Arm], records: Records, measure: str) -> Difference | None:
    """Change of a measure from the first to the last dose, (k - 1) b_s of the line a_s + b_s j over doses j = 0..k-1.

    The line is fitted for each seed s; the interval is over seeds. The doses count in their order, so no shape over the
    shares is assumed.

    Args:
        doses: k arms, in ascending order.
        records: records of the runs.
        measure: one of `MEASURES`.

    Returns:
        None with fewer than two seeds that have all doses.
    """
    changes = list(_changes(doses, records, measure).values())
    return paired_difference(changes) if len(changes) >= 2 else None


def _changes(doses: list[Arm], records: Records, measure: str) -> dict[int, float]:
    """The change of `trend` by seed."""
    seeds = sorted(set.intersection(*(set(records.get(arm.name, {})) for arm in doses)))
    place = np.arange(len(doses))
    changes = {}
    for seed in seeds:
        values = [_measured(records[arm.name][seed]).get(measure) for arm in doses]
        if None not in values and np.isfinite(np.array(values, float)).all():
            changes[seed] = float(np.polyfit(place, np.array(values, float), 1)[0] * (len(doses) - 1))
    return changes


def sentence(plan: DosePlan, records: Records) -> str:
    """Whether training with L_topo reduces the topological distance, whether accuracy changes, and what variants do."""
    every = arms(plan)
    doses = [arm for arm in every if arm.axis == "share"]
    miou = trend(doses, records, "miou")
    seeds = sorted(_changes(doses, records, "distance"))
    if miou is None or len(seeds) < 2:
        done = sum(len(records.get(arm.name, {})) for arm in doses)
        return f"Not measured yet: {done} runs of the {len(doses)} doses are done, and no two seeds have all of them."
    smallest, largest = (_distance(doses[0], arm, records, seeds) for arm in (doses[1], doses[-1]))
    given = f"{largest[1]}; {smallest[1]} at the smallest dose, {100 * doses[1].share:g} %; {len(seeds)} seeds"
    side = _side(largest[0])
    falls = {
        -1: f"the topological distance to the teacher falls ({given})",
        1: f"the topological distance to the teacher rises, although it is trained for ({given})",
        0: f"it stays open whether the topological distance to the teacher falls ({given})",
    }[side]
    number = f"{_interval(miou, 1)} points of mIoU along a line over the doses"
    if gained := _side(miou):
        up = "rises" if gained > 0 else "falls"
        joint = "follows: it" if gained > 0 > side else "does not follow: it" if gained < 0 else "changes: it"
        follows = f"accuracy {joint} {up} ({number})"
    elif tost(list(_changes(doses, records, "miou").values()), plan.margin).equivalent:
        follows = f"accuracy stays the same within ±{plan.margin:g} points ({number})"
    else:
        follows = f"it stays open whether accuracy changes ({number})"
    strongest = f"{100 * doses[-1].share:g} % of the segmentation loss's gradient{_beside(doses[-1], records)}"
    return f"With L_topo at {strongest}, {falls}, and {follows}.{_variants(every, records)}"


def _distance(control: Arm, arm: Arm, records: Records, seeds: list[int]) -> tuple[Difference, str]:
    """The distance's difference from training without L_topo, also as text: in percent where none of these is 0."""
    before, after = ([_measured(records[one.name][seed])["distance"] for seed in seeds] for one in (control, arm))
    if min(before) <= 0:
        difference = paired_difference([b - a for a, b in zip(before, after, strict=True)])
        return difference, _interval(difference, 3)
    relative = paired_difference([100 * b / a - 100 for a, b in zip(before, after, strict=True)])
    return relative, _interval(relative, 0, " %")


def _variants(every: list[Arm], records: Records) -> str:
    """A sentence on the variants of L_topo whose mIoU differs from that without it; empty without variants."""
    control, found, counted, shares = records.get(every[0].name, {}), [], 0, set()
    for arm in every:
        own = records.get(arm.name, {})
        seeds = sorted(set(own) & set(control))
        if arm.axis == "share" or len(seeds) < 2:
            continue
        counted += 1
        shares.add(f"{100 * arm.share:g} %")
        gain = paired_difference([_measured(own[s])["miou"] - _measured(control[s])["miou"] for s in seeds])
        if side := _side(gain):
            verb = "raises" if side > 0 else "lowers"
            found.append(f"{arm.axis} {arm.value} {verb} mIoU ({_interval(gain, 2)})")
    if not counted:
        return ""
    said = "; ".join(found) if found else "none changes mIoU for certain"
    return f" Of {counted} variants of L_topo at {' or '.join(sorted(shares))}, not corrected for their number: {said}."


def _beside(arm: Arm, records: Records) -> str:
    """How large that gradient is beside those of the other terms (median over steps and seeds); empty without any."""
    ratios: dict[str, list[float]] = {}
    for record in records[arm.name].values():
        watched = record.get("history", {}).get("gradients", {}).get("terms", {})
        for name in watched.keys() - {"seg", TERM} if TERM in watched else ():
            pairs = zip(gradient_share(watched, TERM), gradient_share(watched, name), strict=True)
            ratios.setdefault(name, []).extend(own / other for own, other in pairs if other > 0)
    shares = [
        f"{100 * float(np.median(values)):.2g} % of L_{name}'s" for name, values in sorted(ratios.items()) if values
    ]
    return f" ({' and '.join(shares)})" if shares else ""


def _side(difference: Difference) -> int:
    """-1 or 1 if the interval lies below or above 0."""
    return -1 if difference.high < 0 else 1 if difference.low > 0 else 0


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _interval(difference: Difference, digits: int, name: str = "") -> str:
    """``+1.2, 95 % interval +0.1 to +2.3``, with minus signs; ``name`` is that of the unit."""
    mean, low, high = (_signed(value, digits) for value in (difference.mean, difference.low, difference.high))
    return f"{mean}{name}, 95 % interval {low} to {high}{name}"


def _arm(arm: Arm, own: Mapping[int, Mapping[str, Any]], control: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for record in own.values() for name in _measured(record)))
    differences = {}
    for name in MEASURES:
        pairs = [
            _measured(own[seed])[name] - _measured(control[seed])[name]
            for seed in sorted(set(own) & set(control))
            if name in _measured(own[seed]) and name in _measured(control[seed])
        ]
        if arm.share and len(pairs) >= 2 and np.isfinite(pairs).all():
            differences[name] = _as_dict(paired_difference(pairs))
    weights = [w for record in own.values() for w in _weights(record)]
    return {
        "arm": arm.name, "axis": arm.axis, "value": arm.value, "share": arm.share,
        "weight": float(np.median(weights)) if weights else None,
        "values": {name: {seed: _measured(record).get(name) for seed, record in own.items()} for name in names},
        "means": _means([_measured(record) for record in own.values()]),
        "differences": differences,
    }  # fmt: skip


def _weights(record: Mapping[str, Any]) -> list[float]:
    terms = record.get("history", {}).get("gradients", {}).get("terms", {})
    return list(terms.get(TERM, {}).get("weight", []))


def _measured(record: Mapping[str, Any]) -> dict[str, Any]:
    """The measures that have a value: a student that finds no object has no fragments."""
    return {name: value for name, value in record["measures"].items() if value is not None}


def _means(measured: list[dict[str, Any]]) -> dict[str, float]:
    names = dict.fromkeys(name for values in measured for name in values)
    return {name: float(np.mean([values[name] for values in measured if name in values])) for name in names}


def _as_dict(difference: Difference) -> dict[str, Any]:
    return {
        "mean": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "seeds": difference.n,
        "p": difference.p,
    }
