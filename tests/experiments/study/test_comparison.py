"""The fair comparison is data: profile `comparison` and its protocol."""

from __future__ import annotations

import re

from tests.conftest import PROJECT
from topokd.distillation import TERMS, build_objective, resolve_terms
from topokd.experiments.study.plan import read_plan
from topokd.models.presets import PRESETS


def test_every_row_can_be_built_and_has_the_same_number_of_trials() -> None:
    plan, params = read_plan("study/comparison.yaml")
    resolve_terms(params)
    assert list(plan.rows) == list(params.train_rows) and len(plan.rows) >= 16
    for name in params.train_rows:
        build_objective(params, name)
    assert len(plan.factors) == len(plan.learning_rate_factors)  # that of each row


def test_every_term_of_the_guide_is_compared_or_named_as_left_out() -> None:
    """A term that somebody adds by the recipe of docs/extending.md is not in the guide, and need not be."""
    _, params = read_plan("study/comparison.yaml")
    guide = (PROJECT / "docs/your_network.md").read_text(encoding="utf-8").partition("## Terms")[2]
    listed = set(re.findall(r"^\| `(\w+)` \|", guide, re.MULTILINE))
    left_out = set(re.findall(r"`(\w+)`", guide.partition("but for\n")[2].partition(", of which no")[0]))
    compared = {term for row in params.train_rows for term in params.rows[row].terms}
    assert compared.isdisjoint(left_out) and compared | left_out == listed <= set(TERMS)


def test_controls_differ_from_the_plain_student_in_one_thing_each() -> None:
    _, params = read_plan("study/comparison.yaml")
    plain = params.rows["plain"]
    assert params.rows["plain_long"].steps > 1 == plain.steps
    assert params.rows["plain_average"].average > 0 == plain.average
    assert params.rows["litept"].student in PRESETS and not plain.student
    assert not any(params.rows[name].terms for name in ("plain", "plain_long", "plain_average", "litept"))


def test_a_row_is_tuned_in_the_terms_that_it_adds() -> None:
    plan, params = read_plan("study/comparison.yaml")
    for name, row in plan.rows.items():
        added = set(params.rows[name].terms) - (set(params.rows[row.start].terms) if row.start else set())
        assert set(row.factor_of) == added or name == "full_published"  # published weights are not tuned
