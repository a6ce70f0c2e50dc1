"""Answers of the studies (docs/study.md), which run outside the pipeline, and the commands of those not run yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from topokd.experiments.study.inference import seeds_needed
from topokd.paper.results import Results
from topokd.paper.statistics import signed, two_digits

VERDICTS = {"better": "yes", "worse": "no", "equivalent": "same", "open": "open"}
DOSE = "dose"


class Protocol(NamedTuple):
    """One study: its question, its plan, and the command that runs it."""

    question: str
    plan: str
    module: str = "study"

    @property
    def command(self) -> str:
        """Run it on one core, or once per core."""
        plan = "" if self.plan in ("study/plan.yaml", "study/dose.yaml") else f"--plan {self.plan} "
        return f"python -m topokd.experiments.{self.module} {plan}work"


PROTOCOLS = {  # by profile, in the order in which their verdicts count
    "study": Protocol("How much does each term gain, on streets not used to choose anything?", "study/plan.yaml"),
    "comparison": Protocol("Does any published loss do better with as many trials?", "study/comparison.yaml"),
    "cross-validation": Protocol("The same on real scans, each place held out once.", "study/cross_validation.yaml"),
    "weights": Protocol("Which weights should the default profile use?", "study/weights.yaml"),
    DOSE: Protocol("Does a stronger L_topo bring the teacher's topology, and accuracy?", "study/dose.yaml", "dose"),
}


def verdict_of(results: Results, treatment: str, control: str) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """The comparison of two rows by the first complete study on the data set of the profile, and that study.

    Returns:
        None where no complete study has compared them.
    """
    for profile in PROTOCOLS:
        study = results.studies.get(profile, {})
        if study.get("dataset") != results.params.data.dataset or study["done"] < study["planned"]:
            continue
        for comparison in study.get("comparisons", []):  # the study of dose and response compares no rows
            if (comparison["treatment"], comparison["control"]) == (treatment, control):
                return comparison, study
    return None


def sentence(comparison: Mapping[str, Any], study: Mapping[str, Any]) -> str:
    """The text of one comparison, with its intervals and the p-value behind the verdict.

    >>> interval = {"seeds": [0.4, 2.0], "streets": [0.2, 2.2], "both": [0.1, 2.3]}
    >>> comparison = {"difference": 1.2, "seeds": 10, "intervals": interval, "p_holm": 0.01, "verdict": "better",
    ...     "p_equivalence_holm": 1.0, "treatment": "kd", "control": "plain"}
    >>> print(sentence(comparison, {"plan": {"margin": 0.5}, "places": {"kd": 24}}))
    +1.2 points (10 seeds, 24 places; 95 % interval over seeds +0.4 to +2.0, over seeds and places +0.1 to +2.3):
    better, p = 0.01 after Holm's correction.
    """
    over = {name: " to ".join(signed(end) for end in ends) for name, ends in comparison["intervals"].items()}
    margin = study["plan"]["margin"]
    reason = {
        "better": f"better, p = {comparison['p_holm']:.2g} after Holm's correction.",
        "worse": f"worse, p = {comparison['p_holm']:.2g} after Holm's correction.",
        "equivalent": f"no difference beyond ±{margin:g}, p = {comparison['p_equivalence_holm']:.2g} after Holm's "
        "correction.",
        "open": f"neither a difference of at least {margin:g} (p = {comparison['p_holm']:.2g}) nor equivalence within "
        f"±{margin:g} (p = {comparison['p_equivalence_holm']:.2g}) is shown.",
    }[comparison["verdict"]]
    return (
        f"{signed(comparison['difference'])} points ({comparison['seeds']} seeds, "
        f"{study['places'][comparison['treatment']]} places; "
        f"95 % interval over seeds {over['seeds']}, over seeds and places {over['both']}): {reason}"
        + notes(comparison, study)
    )


def notes(comparison: Mapping[str, Any], study: Mapping[str, Any]) -> str:
    """Sentences on what limits a comparison; empty where nothing does."""
    extreme = comparison.get("extreme")
    outlier = f" Seed {extreme['seed']} alone differs by {signed(extreme['difference'])}." if extreme else ""
    late = " This comparison was added to the plan after these runs." if comparison.get("added") else ""
    return late + outlier + rates(comparison, study) + weak_terms(comparison, study)


def rates(comparison: Mapping[str, Any], study: Mapping[str, Any]) -> str:
    """A sentence on rows whose learning rates differ, besides their terms; empty where they are the same.

    >>> chosen = {"kd": {"learning_rate_factor": 2.0}, "plain": {"learning_rate_factor": 1.0}}
    >>> study = {"chosen": chosen, "labels": {"kd": "KD", "plain": "None"}}
    >>> print(rates({"treatment": "kd", "control": "plain"}, study))
     “None” had 0.5 times the learning rate of the row it is compared with: trials tuned it only for rows without
    loss weights.
    """
    treatment, control = comparison["treatment"], comparison["control"]
    chosen = study.get("chosen", {})
    if not {treatment, control} <= chosen.keys():
        return ""
    ratio = chosen[control]["learning_rate_factor"] / chosen[treatment]["learning_rate_factor"]
    if ratio == 1:
        return ""
    return (
        f" “{study['labels'][control]}” had {ratio:g} times the learning rate of the row it is compared with: trials "
        "tuned it only for rows without loss weights."
    )


def answer_of(comparison: Mapping[str, Any], study: Mapping[str, Any]) -> str:
    """The answer of a finding (`topokd.paper.findings.Finding`) that a comparison gives."""
    answer = VERDICTS[comparison["verdict"]]
    new = added_terms(comparison, study)
    return "weak" if answer == "same" and new and all(map(_is_weak, new.values())) else answer


def added_terms(comparison: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The gradient shares (`topokd.experiments.study.answer.gradient_shares`) of the terms that only the treatment has.

    Args:
        comparison: one of the study's.
        study: its answer.
    """
    by_row: dict[str, dict[str, Mapping[str, Any]]] = {}
    for share in study.get("gradients", []):
        by_row.setdefault(share["row"], {})[share["term"]] = share
    treatment, control = (by_row.get(comparison[row], {}) for row in ("treatment", "control"))
    return {term: share for term, share in treatment.items() if term not in control}


def _is_weak(share: Mapping[str, Any]) -> bool:
    return share["median"] < share["weak"]


def weak_terms(comparison: Mapping[str, Any], study: Mapping[str, Any]) -> str:
    """A sentence on terms that only the treatment has and whose gradient was tiny; empty without such terms.

    What such a comparison shows holds for the term's weight alone. Where the treatment differs, other terms did it.

    >>> shares = [{"row": "kd_topo", "term": "topo", "median": 0.0032, "weak": 0.01},
    ...     {"row": "kd_topo", "term": "kd", "median": 10, "weak": 0.01},
    ...     {"row": "kd", "term": "kd", "median": 10, "weak": 0.01}]
    >>> comparison = {"treatment": "kd_topo", "control": "kd", "verdict": "equivalent"}
    >>> print(weak_terms(comparison, {"gradients": shares}))
     The gradient of L_topo was 0.32 % of the segmentation loss's (median): this says nothing about larger weights of
    L_topo.
    """
    weak = {term: share["median"] for term, share in added_terms(comparison, study).items() if _is_weak(share)}
    if not weak or comparison["verdict"] in ("better", "worse"):
        return ""
    shares = " and ".join(f"of L_{term} was {100 * median:.2g} %" for term, median in weak.items())
    return (
        f" The gradient {shares} of the segmentation loss's (median): this says nothing about larger weights of "
        f"{' and '.join(f'L_{term}' for term in weak)}."
    )


def trials(study: Mapping[str, Any]) -> str:
    """Sentences on what the trials of one term's weight gave beyond the row that they start from; empty without any.

    >>> kd, topo = {"row": "kd", "miou": 22.1}, {"row": "kd_topo", "factor": 1.0, "weights": {"topo": 40.0}}
    >>> plan = {"rows": {"kd_topo": {"factor_of": ["topo"], "start": "kd"}}, "comparisons": [["kd_topo", "kd"]]}
    >>> study = {"plan": plan, "labels": {"kd": "KD", "kd_topo": "KD + topology"}, "chosen": {"kd": kd},
    ...     "trials": [kd, topo | {"miou": 15.1}]}
    >>> trials(study)
    ' In the trials, with one seed each, “KD + topology” is −7.0 points from “KD” at a weight of 40 of L_topo.'
    """
    said = []
    for treatment, control in study["plan"]["comparisons"]:
        row = study["plan"].get("rows", {}).get(treatment, {})
        own = [trial for trial in study["trials"] if trial["row"] == treatment]
        if row.get("start") != control or len(row["factor_of"]) != 1 or control not in study["chosen"] or not own:
            continue
        (term,), start = row["factor_of"], study["chosen"][control]["miou"]
        own.sort(key=lambda trial: trial["factor"])
        gains = listed([signed(trial["miou"] - start) for trial in own])
        weights = listed([f"{trial['weights'][term]:.3g}" for trial in own])
        said.append(
            f"“{study['labels'][treatment]}” is {gains} points from “{study['labels'][control]}” at "
            f"{'a weight' if len(own) == 1 else 'weights'} of {weights} of L_{term}"
        )
    return f" In the trials, with one seed each, {'; '.join(said)}." if said else ""


LONGER = ("plain_long", "kd")
"""Training without a teacher for as long as the most expensive row takes, against KD, in the comparison."""


def equal_compute(results: Results) -> str:
    """What distillation is worth at equal computing time, as far as the comparison has measured it; empty without."""
    study = results.studies.get("comparison", {})
    for pair in study.get("comparisons", []):
        if (pair["treatment"], pair["control"]) == LONGER and study["dataset"] == results.params.data.dataset:
            low, high = pair["intervals"]["seeds"]
            steps = study["steps"]
            more = "more" if pair["difference"] > 0 else "less"
            verdict = {"open": "undecided", "equivalent": "no difference"}.get(pair["verdict"], "decided")
            return (
                "All these answers are at equal numbers of steps. **At equal computing time** (that of the most "
                f"expensive row: {steps[LONGER[0]]:,} steps for {steps[LONGER[1]]:,}) a student without a teacher "
                f"reaches **{abs(pair['difference']):.1f}** points {more} than “{study['labels'][LONGER[1]]}” "
                f"({signed(low)} to {signed(high)}, {pair['seeds']} seeds of the comparison, {verdict} after Holm's "
                "correction)."
            )
    return ""


def study_trials(results: Results) -> str:
    """What the trials of the study say about the weights of single terms; empty before it has trials."""
    study = results.studies.get("study")
    return trials(study).strip() if study else ""


def listed(words: Sequence[str]) -> str:
    """The words in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def protocols(results: Results) -> pd.DataFrame:
    """A line per study: its question, its progress, and its answer or the command that computes it."""
    lines = []
    for profile, protocol in PROTOCOLS.items():
        study = results.studies.get(profile)
        lines.append({
            "Study": profile, "Asks": protocol.question, "Protocol": protocol.plan,
            "Runs": _progress(study), "Answer": _answer(profile, results, protocol),
        })  # fmt: skip
    return pd.DataFrame(lines)


def comparisons(results: Results) -> pd.DataFrame:
    """Every comparison of every study that has runs, with its intervals and verdict."""
    lines = []
    for profile in PROTOCOLS:
        study = results.studies.get(profile, {})
        for comparison in study.get("comparisons", []):
            labels, sd, plan = study["labels"], comparison["sd"], study["plan"]
            level = plan["alpha"] / len([*plan["comparisons"], *plan.get("added", [])])
            lines.append({
                "Study": profile, "Row": labels[comparison["treatment"]],
                "Against": labels[comparison["control"]] + ("*" if comparison.get("added") else ""),
                "Difference": signed(comparison["difference"], 2), "Seeds": comparison["seeds"],
                "SD": f"{sd:.2f}",
                "Seeds for 1 point": seeds_needed(1.0, sd, 0.8, level, margin=plan["margin"]) or "–",
                **{f"95 %, {over}": " to ".join(signed(end, 2) for end in ends)
                   for over, ends in comparison["intervals"].items()},
                "p, Holm": f"{comparison['p_holm']:.2g}", "p of equivalence": f"{comparison['p_equivalence_holm']:.2g}",
                "Verdict": comparison["verdict"] + ("" if study["done"] >= study["planned"] else " (so far)"),
            })  # fmt: skip
    return pd.DataFrame(lines or [{"Study": "–", "Verdict": "No study has two seeds of two rows yet: see above."}])


def weights(results: Results) -> pd.DataFrame:
    """What the trials of every row of every study chose: the weights and the learning rate of its runs."""
    lines = []
    for profile in PROTOCOLS:
        study = results.studies.get(profile, {})
        for row, best in study.get("chosen", {}).items():
            trials = [trial for trial in study["trials"] if trial["row"] == row]
            grid = {trial["unit"]: trial["factor"] for trial in trials}
            end = len(grid) > 1 and grid[best["unit"]] in (min(grid.values()), max(grid.values()))
            lines.append({
                "Study": profile, "Row": study["labels"][row], "Trials": len(trials),
                "Diverged": sum("failed" in trial for trial in trials),
                "Weights": ", ".join(f"{name} {weight:g}" for name, weight in best["weights"].items()) or "–",
                "Learning rate (× teacher's)": f"{best['learning_rate_factor']:g}", "mIoU": f"{best['miou']:.1f}",
                "At an end of its grid": "yes" if end else "no",
            })  # fmt: skip
    return pd.DataFrame(lines or [{"Study": "–", "Row": "No study has finished the trials of a row yet."}])


def gradients(results: Results) -> pd.DataFrame:
    """How large each term's gradient was in the runs of every study, in percent of the segmentation loss's."""
    lines = [
        {
            "Study": profile, "Row": study["labels"][share["row"]], "Term": f"L_{share['term']}",
            "Median (%)": two_digits(100 * share["median"]), "Largest (%)": two_digits(100 * share["largest"]),
            "in the run": _run(share), "at step": f"{share['step']:,}",
            f"Runs above {100 * share['limit']:g} %": f"{share['strong']} of {share['runs']}",
        }
        for profile in PROTOCOLS
        for study in [results.studies.get(profile, {})]
        for share in study.get("gradients", [])
    ]  # fmt: skip
    return pd.DataFrame(lines or [{"Study": "–", "Row": "No study has trained a student yet."}])


def power(results: Results) -> dict[str, dict[str, Any]]:
    """Seeds, expected standard deviation, number of comparisons and margin of the profile and each study."""
    plans = {}
    if "study" in results.studies:
        seeds = results.params.seeds  # the answers of a profile are not corrected for the number of questions
        plans[f"this profile ({len(seeds)} seeds)"] = _power(results.studies["study"]["plan"], seeds, 1)
    for profile in PROTOCOLS:
        study = results.studies.get(profile, {})
        plan = study.get("plan", {})
        if pairs := [*plan.get("comparisons", []), *plan.get("added", [])]:
            plans[f"{profile} ({len(study['seeds'])} seeds)"] = _power(plan, study["seeds"], len(pairs))
    return plans


def validated(results: Results) -> str:
    """On how many scans the curves of the studies rest, and how far that can mislead; empty without such curves."""
    counts, example = {}, ""
    for profile in PROTOCOLS:
        study = results.studies.get(profile, {})
        ends = {row: curve["miou"][-1] for row, curve in study.get("curves", {}).items() if len(curve["step"]) > 1}
        if not study.get("validate_scans") or not ends.keys() & study["labels"].keys():
            continue
        counts[profile] = study["validate_scans"]
        for pair in study["comparisons"]:
            row, over = pair["treatment"], pair["control"]
            if not example and row in ends and over in ends:
                labels = study["labels"]
                example = (
                    f": at the last step “{labels[row]}” is {signed(ends[row] - ends[over])} points from "
                    f"“{labels[over]}” on them, over all scans {signed(pair['difference'])} (see above)"
                )
    if not counts:
        return ""
    same = len({*counts.values()}) == 1
    number = f"{max(counts.values())}" if same else ", ".join(f"{n} ({profile})" for profile, n in counts.items())
    plural = "" if {*counts.values()} == {1} else "s"
    return f"mIoU on {number} validation scan{plural}, too few to tell which row is better{example}."


def _run(share: Mapping[str, Any]) -> str:
    """Seed, and place of a cross-validation, of the run with the largest gradient."""
    place = share.get("fold")
    return f"seed {share['seed']}" + ("" if place is None else f", sequence {place:02d}")


def _power(plan: Mapping[str, Any], seeds: Sequence[int], comparisons: int) -> dict[str, Any]:
    return {
        "seeds": len(seeds), "sd": plan["expected_sd"], "margin": plan["margin"],
        "alpha": plan["alpha"] / max(1, comparisons),
    }  # fmt: skip


def dose_sentence(results: Results) -> str:
    """The answer of the study of dose and response; empty before it has runs."""
    return str(results.studies.get(DOSE, {}).get("sentence", ""))


def _progress(study: Mapping[str, Any] | None) -> str:
    return "none" if study is None else f"{study['done']} of {study['planned']}"


def _answer(profile: str, results: Results, protocol: Protocol) -> str:
    study = results.studies.get(profile)
    if study is None:
        return f"Not run yet: `{protocol.command}`."
    missing = "" if study["done"] >= study["planned"] else f" Preliminary: `{protocol.command}` runs the rest."
    if profile == DOSE:
        return f"{study['sentence']}{missing}"
    if not study["comparisons"]:
        found = "Weights below." if study["chosen"] else "No comparison has two seeds yet."
        return f"{found}{_other_weights(study, results)}{missing}"
    counts = pd.Series([comparison["verdict"] for comparison in study["comparisons"]]).value_counts()
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) + f" (below).{missing}"


def _other_weights(study: Mapping[str, Any], results: Results) -> str:
    """A sentence on rows that this profile trains with other weights than the search for them chose; empty without."""
    if study["profile"] != "weights" or study["dataset"] != results.params.data.dataset:
        return ""  # the studies that compare rows train them with what they chose
    others = []
    for row, trial in study["chosen"].items():
        terms = results.params.rows[row].terms if row in results.params.rows else {}
        weights = {name: term["weight"] for name, term in terms.items()}
        other = [f"{name} {weight:g}" for name, weight in weights.items() if trial["weights"].get(name) != weight]
        others += [f"“{study['labels'][row]}” ({', '.join(other)})"] if other else []
    return f" Trained here with other weights, see `docs/study.md`: {', '.join(others)}." if others else ""
