"""What a study's answer says of the force of each term, and of the differences between rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from topokd.experiments.study.answer import compare, gradient_shares
from topokd.experiments.study.bootstrap import StreetScores
from topokd.experiments.study.plan import StudyPlan, Unit

POINTS = 100_000  # on the only street of `scores`


def record(seg: list[float], grad: list[float], weight: float = 2.0) -> dict:
    curves = {"seg": {"parameters": seg, "weight": [1.0] * len(seg)}}
    curves["grad"] = {"parameters": grad, "weight": [weight] * len(grad)}
    return {"history": {"gradients": {"step": [50 * k for k in range(len(seg))], "terms": curves}}}


def test_the_largest_share_of_a_cross_validation_names_its_place() -> None:
    done = {Unit("run", "kd", 0, fold): record([1.0], [share]) for fold, share in ((4, 3.0), (9, 2.0))}
    (shares,) = gradient_shares(done)
    assert (shares["fold"], shares["runs"]) == (4, 2)


def test_shares_are_taken_over_all_seeds_and_the_largest_is_named() -> None:
    done = {
        Unit("run", "kd_grad", 0): record([1.0, 2.0, 4.0], [1.0, 2.0, 2.0]),  # shares 2, 2, 1
        Unit("run", "kd_grad", 7): record([1.0, 1.0, 1.0], [0.5, 60.0, 3.0]),  # shares 1, 120, 6
        Unit("trial", "kd_grad", 3): record([1.0], [1e6]),  # trials choose weights; they are not results
        Unit("run", "plain", 0): {"history": {}},
    }
    (shares,) = gradient_shares(done)
    assert shares == {
        "row": "kd_grad", "term": "grad", "runs": 2, "median": 2.0,
        "largest": 120.0, "seed": 7, "fold": None, "step": 50, "limit": 10.0, "strong": 1, "weak": 0.01,
    }  # fmt: skip


def scores(values: list[float]) -> StreetScores:
    """Runs with these mIoU in percent, one per seed: one class, whose IoU it is."""
    hit = np.round(np.array(values) / 100 * POINTS).astype(np.int64)
    counts = np.stack([hit, np.full_like(hit, POINTS), hit], axis=1)[:, None, :, None]
    return StreetScores(counts, tuple(range(len(values))), ("a",))


def compared(differences: list[float], **options: object) -> dict:
    plan = StudyPlan(rows={"a": {}, "b": {}, "c": {}}, comparisons=[("b", "a")], draws=5).replace(**options)
    rows = {"a": scores([20.0] * len(differences)), "b": scores([20.0 + d for d in differences])}
    return compare(plan, rows)[0]


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.15, 0.2, 0.25] * 8, "equivalent"),  # above zero beyond doubt, and within the margin beyond doubt
        ([0.35, 0.45, 0.55, 0.3, 0.6] * 2, "open"),  # above zero, but smaller than the margin
        ([0.9, 1.0, 1.1] * 3, "better"),
        ([-0.9, -1.0, -1.1] * 3, "worse"),
        ([-3.0, 0.0, 3.0], "open"),
    ],
)
def test_a_difference_counts_from_the_margin_on(differences: list[float], verdict: str) -> None:
    assert compared(differences)["verdict"] == verdict


def test_the_correction_covers_comparisons_without_runs_and_added_ones() -> None:
    differences = [0.9, 1.0, 1.3]
    alone = compared(differences)
    three = compared(differences, comparisons=[("b", "a"), ("c", "a")], added=[("c", "b")])
    assert alone["p_holm"] == alone["p"] and three["p_holm"] == pytest.approx(3 * alone["p"])
    assert not three["added"] and compared(differences, comparisons=[], added=[("b", "a")])["added"]


def test_a_seed_far_from_the_others_is_named() -> None:
    assert compared([-0.5, -1.0, -1.5, -0.8, -10.4])["extreme"] == {"seed": 4, "difference": pytest.approx(-10.4)}
    assert compared([-0.5, -1.0, -1.5, -0.8, -2.0])["extreme"] is None


def test_the_seed_is_the_right_one_in_any_order_of_the_seeds() -> None:
    plan = StudyPlan(rows={"a": {}, "b": {}}, comparisons=[("b", "a")], draws=5)
    rows = {"a": scores([20.0] * 5), "b": scores([9.6, 18.5, 19.2, 19.0, 19.5])}
    descending = {name: dataclasses.replace(row, seeds=(4, 3, 2, 1, 0)) for name, row in rows.items()}
    assert compare(plan, descending)[0]["extreme"] == {"seed": 4, "difference": pytest.approx(-10.4)}
