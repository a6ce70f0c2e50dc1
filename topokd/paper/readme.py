"""Findings and expected numbers of the README, computed from committed results."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from topokd.io import read_json
from topokd.paper.claims import details, lead
from topokd.paper.findings import findings
from topokd.paper.leftovers import is_leftover
from topokd.paper.results import Results
from topokd.paper.statistics import signed
from topokd.paper.studies import equal_compute, rates, trials, weak_terms
from topokd.project import TEACHER, run_name

ANSWERS = {
    "yes": "yes",
    "no": "no, the difference is negative",
    "same": "no effect",
    "weak": "too weak",
    "open": "cannot tell",
    "missing": "not measured",
}


def findings_text(folders: list[Path]) -> str:
    """The findings: the answer of each profile in a sentence, then the answer to every question, by profile."""
    profiles = [Results.read(folder) for folder in folders]
    answers = [{f.question: f.answer for f in findings(results)} for results in profiles]
    questions = list(dict.fromkeys(question for each in answers for question in each))
    header = "| question | " + " | ".join(f"`{results.profile}`" for results in profiles) + " |"
    rows = [
        f"| {question} | " + " | ".join(ANSWERS[each.get(question, "missing")] for each in answers) + " |"
        for question in questions
    ]
    leads = [
        textwrap.fill(f"`{results.profile}`: {lead(results)}", 100, break_on_hyphens=False) for results in profiles
    ]
    table = "\n".join([header, "|---" * (len(profiles) + 1) + "|", *rows])
    compute = equal_compute(profiles[0]) if profiles else ""
    return "\n\n".join([*leads, table, *([textwrap.fill(compute, 100, break_on_hyphens=False)] if compute else [])])


def details_text(folders: list[Path]) -> str:
    """Size of each profile's experiment, what each term does in it, and the differences of the studies."""
    profiles = [Results.read(folder) for folder in folders]
    said = [f"`{results.profile}`: {text}" for results in profiles if (text := details(results))]
    said += [text for name in BEGINNINGS if (text := study_text(profiles[0].studies.get(name, {})))]
    said += [text] if (text := comparison_text(profiles[0].studies.get("comparison", {}))) else []
    return "\n\n".join(
        ["\n".join(map(_size, profiles)), *(textwrap.fill(text, 100, break_on_hyphens=False) for text in said)]
    )


BEGINNINGS = {  # of the text on a study, by its profile
    "study": "The [study](docs/study.md) with more seeds trains longer, on {places} other streets.",
    "cross-validation": "The [cross-validation](docs/study.md#cross-validation-on-real-scans) holds each of {places} "
    "real sequences out once.",
}


def study_text(study: Mapping[str, Any]) -> str:
    """Differences of a study with many seeds so far; empty before it has compared rows.

    Args:
        study: one of `BEGINNINGS`, see `topokd.experiments.study.answer.answer`.
    """
    if not study.get("comparisons"):
        return ""
    labels, complete = study["labels"], study["done"] >= study["planned"]
    pairs = [
        f"“{labels[pair['treatment']]}” against “{labels[pair['control']]}” **{signed(pair['difference'])}** "
        f"({' to '.join(signed(end) for end in pair['intervals']['seeds'])}{_aside(pair)})"
        for pair in study["comparisons"]
    ]
    seeds = min(pair["seeds"] for pair in study["comparisons"])
    places = max(study["places"].values())
    state = "" if complete else f" So far {study['done']} of {study['planned']} runs are done."
    end = "" if complete else " Until it is complete, it does not change the answers above."
    limits = "".join(dict.fromkeys(note(pair, study) for note in (rates, weak_terms) for pair in study["comparisons"]))
    return (
        f"{BEGINNINGS[study['profile']].format(places=places)}{state} mIoU in points, {seeds} seeds, paired, "
        f"with 95 % intervals: {', '.join(pairs)}.{limits}{trials(study)}{end}"
    )


def comparison_text(study: Mapping[str, Any]) -> str:
    """What the comparison of many rows has decided so far, and how many rows it leaves open; empty before it compares.

    Args:
        study: the answer of the profile ``comparison``, see `topokd.experiments.study.answer.answer`.
    """
    if not study.get("comparisons"):
        return ""
    labels, complete = study["labels"], study["done"] >= study["planned"]
    by_control: dict[str, dict[str, list[str]]] = {}
    for pair in study["comparisons"]:
        low, high = pair["intervals"]["seeds"]
        numbers = f"**{signed(pair['difference'])}** ({signed(low)} to {signed(high)}{_aside(pair)})"
        own = by_control.setdefault(pair["control"], {})
        away = pair["verdict"] == "open" and low * high > 0 and abs(pair["difference"]) >= study["plan"]["margin"]
        own.setdefault("away" if away else pair["verdict"], []).append(f"“{labels[pair['treatment']]}” {numbers}")
    seeds = min(pair["seeds"] for pair in study["comparisons"])
    said = []
    for control, found in by_control.items():
        parts = [f"{word}: {', '.join(found[verdict])}" for verdict, word in DECIDED.items() if verdict in found]
        undecided = len(found.get("open", []))
        parts += [f"undecided: {undecided} row{'' if undecided == 1 else 's'}"] if undecided else []
        said.append(f"Against “{labels[control]}”: {'; '.join(parts)}.")
    state = "" if complete else f" So far {study['done']} of {study['planned']} runs are done."
    steps = min(study["steps"].values())
    return (
        f"The [comparison](docs/study.md#the-fair-comparison) gives each of {len(labels)} rows as many trials, and "
        f"{steps:,} steps to all but one.{state} mIoU in points, at least {seeds} seeds, paired, with 95 % intervals "
        f"and verdicts after Holm's correction. {' '.join(said)}"
    )


DECIDED = {
    "better": "better", "worse": "worse", "equivalent": "no different",
    "away": "undecided after the correction, although the interval excludes zero",
}  # fmt: skip


def _aside(pair: Mapping[str, Any]) -> str:
    extreme = pair.get("extreme")
    outlier = f"; seed {extreme['seed']} alone {signed(extreme['difference'])}" if extreme else ""
    return outlier + ("; added to the plan after these runs" if pair.get("added") else "")


def _size(results: Results) -> str:
    student = next(iter(results.rows))
    teacher_run, student_run = (next(iter(results.runs[name].values())) for name in (TEACHER, student))
    return (
        f"- `{results.profile}`: {results.dataset}, {student_run['evaluation']['scans']} validation scans, "
        f"{len(results.params.seeds)} seeds;\n"
        f"  teacher of {teacher_run['parameters'] / 1e6:.2f} M parameters, {results.score(TEACHER).text()} mIoU; "
        f"student of {student_run['parameters'] / 1e6:.2f} M,\n"
        f"  {results.score(student).text()} when it is trained alone for {student_run['steps']} steps."
    )


def expected_numbers(folders: list[Path]) -> str:
    """A Markdown table per results folder: parameters, mIoU with its interval, steps and minutes of each row."""
    return "\n\n".join(_profile(Results.read(folder)) for folder in folders)


def _profile(results: Results) -> str:
    files = sorted((results.folder / "provenance").glob("*.json"))
    durations = {path.stem: read_json(path) for path in files if not is_leftover(path, results.params)}
    total = sum(record["seconds"] for record in durations.values()) / 60
    where = next(iter(durations.values()), {"processor": "unknown processor", "cores": "?"})
    seeds = results.params.seeds
    base = next(iter(results.rows))
    lines = [
        f"Profile `{results.profile}` ({results.dataset}): mIoU in % over the classes present in the validation split, "
        f"mean ± 95 % interval over seeds {', '.join(map(str, seeds))}; minutes of the fastest run on one core of "
        f"{where['processor']} (of the rows of a seed, the first also computes the teacher's outputs for the others). "
        f"All stages together took {total:.0f} core-minutes.",
        "",
        f"| row | parameters | mIoU | gain over “{results.labels[base]}” | steps | minutes |",
        "|---|---|---|---|---|---|",
    ]
    for network, look in results.looks.items():
        runs = results.runs.get(network, {})
        if not runs:
            continue
        first = next(iter(runs.values()))
        notebook = "20_teacher" if network == TEACHER else f"30_student-{network}"
        taken = [durations[name]["seconds"] for seed in runs if (name := run_name(notebook, seed)) in durations]
        minutes = f"{min(taken) / 60:.1f}" if taken else "–"
        gain = "" if network == base else results.gain(network, base).text(sign=True)
        lines.append(
            f"| {look.label} | {first['parameters'] / 1e6:.2f} M | {results.score(network).text()} | {gain} "
            f"| {first['steps']} | {minutes} |"
        )
    return "\n".join(lines)


def refresh(readme: str, block: str, text: str) -> str:
    """Replace the named block of ``readme``, between its two markers, with ``text``.

    >>> text = "a\\n<!-- found: written by `topokd readme` -->\\nold\\n<!-- end of found -->\\nb"
    >>> refresh(text, "found", "new").splitlines()
    ['a', '<!-- found: written by `topokd readme` -->', '', 'new', '', '<!-- end of found -->', 'b']
    """
    begin, end = f"<!-- {block}: written by `topokd readme` -->", f"<!-- end of {block} -->"
    before, _, rest = readme.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"
