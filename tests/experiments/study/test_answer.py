"""What a study's answer says of the force of each term."""

from __future__ import annotations

from topokd.experiments.study.answer import gradient_shares
from topokd.experiments.study.plan import Unit


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
