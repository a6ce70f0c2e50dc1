"""Findings: sentences and verdicts from measured values."""

import dataclasses
import json

import numpy as np
import pytest

from topokd.paper.claims import additions, beyond_another, claims, lead, seeds_used, trained_networks
from topokd.paper.findings import Finding, findings, verdict
from topokd.paper.results import Results
from topokd.paper.statistics import Interval


def test_findings_follow_the_numbers(results_folder):
    answers = findings(Results.read(results_folder))
    assert [f.answer for f in answers][:2] == ["yes", "yes"]
    assert "so there is something to distil" in answers[0].sentence
    assert "+1.6 on SemanticKITTI, +2.3 on Waymo, +2.1 on nuScenes" in answers[1].sentence


def test_findings_turn_with_the_sign(results_folder):
    for seed in range(3):
        for a, b in (("teacher", "plain"),):
            first, second = (results_folder / "runs" / f"{v}-seed{seed}.json" for v in (a, b))
            one, two = json.loads(first.read_text()), json.loads(second.read_text())
            one["evaluation"], two["evaluation"] = two["evaluation"], one["evaluation"]
            first.write_text(json.dumps(one))
            second.write_text(json.dumps(two))
    answers = findings(Results.read(results_folder))
    assert answers[0].answer == "no" and "nothing to distil" in answers[0].sentence


@pytest.mark.parametrize(
    ("gain", "word"),
    [
        (Interval(1.0, 0.5, 3), "yes"),
        (Interval(-1.0, 0.5, 3), "no"),
        (Interval(1.0, 1.5, 3), "open"),
        (Interval(1.0, np.nan, 1), "open"),
        (Interval(np.nan, np.nan, 0), "missing"),
    ],
)
def test_a_verdict_needs_an_interval_on_one_side_of_zero(gain, word):
    assert verdict(gain) == word


@pytest.mark.parametrize("gain", [Interval(-0.6, 0.2, 3), Interval(0.3, 0.1, 3)])
def test_a_few_seeds_that_happen_to_agree_do_not_decide(gain):
    assert verdict(gain) != "open" and verdict(gain, sd=0.6) == "open"
    assert verdict(Interval(3.0, 0.2, 3), sd=0.6) == "yes"  # larger than that spread explains


def test_comparisons_are_judged_with_the_spread_of_all_of_them(results_folder):
    scores = {"plain": (20.0, 21.0, 22.0), "kd": (23.0, 23.0, 26.0), "kd_topo": (22.4, 22.4, 25.4)}
    for row, values in scores.items():
        for seed, value in enumerate(values):
            file = results_folder / "runs" / f"{row}-seed{seed}.json"
            record = json.loads(file.read_text())
            record["evaluation"]["miou_skip"] = value / 100
            file.write_text(json.dumps(record))
    by_question = {f.question: f for f in findings(Results.read(results_folder))}
    topology = by_question["Does the topological term help?"]
    assert topology.answer == "open" and "in all comparisons together" in topology.sentence


def test_the_lead_says_the_answer_once_if_all_additions_share_it_and_names_the_seeds_of_a_study(results_folder):
    results = Results.read(results_folder)
    one = Finding("?", "open", "", subject="one term", gain=Interval(0.1, 1.0, 3), over="KD")
    two = dataclasses.replace(one, subject="two terms", gain=Interval(-0.2, 1.0, 3))
    assert additions([one, two], "KD", beyond=True) == (
        "On top of “KD” it stays **undecided** whether these help: one term +0.1 ± 1.0, two terms −0.2 ± 1.0 points."
    )
    helps = dataclasses.replace(two, answer="yes", gain=Interval(1.2, 0.3, 32), study="study")
    assert additions([one, helps], "KD", beyond=True) == (
        "On top of “KD”: one term +0.1 ± 1.0 (undecided), two terms +1.2 ± 0.3 (helps, study)."
    )
    assert additions([helps], "no KD", beyond=False) == "Against “no KD”: two terms +1.2 ± 0.3 (helps, study)."
    assert seeds_used(results, one) == ", 3 seeds, 1 teacher" and "32 seeds of the study" in seeds_used(results, helps)


@pytest.mark.parametrize(
    ("answer", "clause"),
    [
        ("yes", "“All” is **better** than “KD”: +1.2 ± 0.3"),
        ("no", "“All” is **worse** than “KD”: +1.2 ± 0.3"),
        ("same", "“All” is **no different** from “KD”: +1.2 ± 0.3"),
        ("weak", "“All” is, at these weights, **no different** from “KD”: +1.2 ± 0.3"),
        ("open", "whether “All” is better than “KD” stays **undecided**: +1.2 ± 0.3"),
    ],
)
def test_the_lead_says_what_a_row_gains_beyond_another(answer, clause):
    assert beyond_another(Finding("?", answer, "", gain=Interval(1.2, 0.3, 3), over="KD"), "All") == clause


def test_the_claim_on_sizes_names_the_networks_of_the_profile_if_they_are_others(results_folder):
    results = Results.read(results_folder)
    assert (
        trained_networks(results, 16.6) == " The networks trained here: 16.0 times."
        and trained_networks(results, 16.0) == ""
    )


def test_a_class_that_the_teacher_alone_predicts_is_named_and_counts_as_0(results_folder):
    assert "also predicts" not in findings(Results.read(results_folder))[0].sentence
    file = next((results_folder / "runs").glob("teacher-*.json"))
    record = json.loads(file.read_text())
    index = record["evaluation"]["present"].index(False)
    record["evaluation"]["iou"][index] = 0.0
    file.write_text(json.dumps(record))
    results, name = Results.read(results_folder), record["evaluation"]["class_names"][index]
    assert f"The teacher also predicts {name}, which no validation scan has" in findings(results)[0].sentence
    assert list(results.class_scores("teacher", name).values()) == [0.0]


def test_the_verdict_of_a_study_stands_in_a_sentence_with_its_places_and_seeds(results_folder, monkeypatch):
    main = Finding("?", "yes", "", subject="all terms", gain=Interval(2.0, 1.0, 3), over="no KD", row="full")
    beyond = dataclasses.replace(main, answer="same", gain=Interval(-0.01, 0.3, 5), over="KD")
    studied = dataclasses.replace(beyond, study="cross-validation", size="11 places, 5 seeds")
    results = Results.read(results_folder)
    for found, end in (
        (beyond, f"; “{results.labels['full']}” is **no different** from “KD”: 0.0 ± 0.3 ("),
        (studied, f" In the cross-validation (11 places, 5 seeds), “{results.labels['full']}” is **no different**"),
    ):
        monkeypatch.setattr("topokd.paper.claims.findings", lambda _, found=found: [main, found])
        assert end in lead(results)


def test_a_lead_that_a_study_decides_names_its_scans(results_folder, monkeypatch):
    main = Finding(
        "?", "yes", "", subject="all terms", gain=Interval(2.0, 1.0, 5), over="no KD", row="full",
        study="cross-validation", size="11 places, 5 seeds",
    )  # fmt: skip
    monkeypatch.setattr("topokd.paper.claims.findings", lambda _: [main])
    text = lead(Results.read(results_folder))
    assert text.startswith("In the cross-validation (synthetic street world, 11 places, 5 seeds), **all terms** raise")
    assert "validation scans" not in text and text.endswith("parameters).") and "added to the plan" not in text
    late = dataclasses.replace(main, added=True)
    monkeypatch.setattr("topokd.paper.claims.findings", lambda _: [late])
    assert "against “no KD” (a comparison added to the plan after these runs) (" in lead(Results.read(results_folder))


def claim(results, question):
    (found,) = [finding for finding in claims(results) if finding.question.startswith(question)]
    return found.answer, found.sentence


@pytest.mark.parametrize(("total", "answer"), [(36.5, "yes"), (18.1, "open"), (20.0, "no")])
def test_the_claim_on_flops_says_what_was_counted(results_folder, total, answer):
    results = Results.read(results_folder)
    encoder = {"total": total, "without_attention": 25.0 if answer == "no" else 36.8}
    model = {"parameters": {"total": 1}, "preset": "x"}
    cost = {
        "models": {"teacher": model, "student": model},
        "ratios": {"parameters": 1.0, "flops": {"encoder": encoder}},
    }
    results.records["model_cost"] = cost
    said, sentence = claim(results, "Does the student's encoder need as few FLOPs")
    assert said == answer and f"{total:.1f} times lower; " in sentence


@pytest.mark.parametrize(
    ("pair", "answer"), [((3.0, 7.0), "yes"), ((1.2, 7.0), "open"), ((1.2, 2.0), "no")]
)  # fmt: skip
def test_the_claims_on_memory_and_speed_give_ranges(results_folder, pair, answer):
    results = Results.read(results_folder)
    ratios = {"latency": 2.0, "latency_range": [1.5, 2.5], "peak_memory": pair[0], "peak_memory_with_weights": pair[1]}
    results.records["timings/model_cost"] = {
        "ratios": ratios, "device": "CPU X", "repeats": 5, "models": {"teacher": {"voxels": 8000}}
    }  # fmt: skip
    assert claim(results, "Does the student need less memory")[0] == answer
    faster = ("yes", "2.00 times on CPU X (8,000 voxels, the network alone; 1.50 to 2.50 in 5 pairs of passes).")
    assert claim(results, "Is the student faster") == faster
    ratios["latency_range"] = [0.9, 2.5]
    assert claim(results, "Is the student faster")[0] == "open"


@pytest.mark.parametrize(("ends", "answer"), [((-0.2, -0.1), "yes"), ((-0.1, 0.1), "open"), ((0.1, 0.2), "no")])
def test_the_claim_on_fragments_has_the_numbers_of_the_doses(results_folder, ends, answer):
    results = Results.read(results_folder)
    assert not [finding for finding in claims(results) if "fragments" in finding.question]
    change = {"mean": sum(ends) / 2, "low": ends[0], "high": ends[1], "seeds": 3}
    trend = dict.fromkeys(("fragments", "thin_fragments", "boundary_miou"), change)
    results.studies["dose"] = {"dataset": "synthetic", "done": 1, "planned": 1, "trend": trend}
    assert claim(results, "Does the topological term reduce fragments")[0] == answer
    results.studies["dose"]["dataset"] = "semantickitti"  # another data set than the profile's
    assert not [finding for finding in claims(results) if "fragments" in finding.question]
