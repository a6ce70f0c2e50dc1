"""The claims of the paper's Sec. 4 about accuracy, each with its measured answer in a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from topokd.paper import reported
from topokd.paper.results import Results
from topokd.paper.statistics import MARGIN, POWER, Interval, pooled_sd, seeds_to_detect, signed
from topokd.paper.studies import answer_of, verdict_of
from topokd.paper.studies import sentence as sentence_of
from topokd.project import TEACHER

MAIN_TABLES = ("table2", "table4", "table1")  # with the results of the whole method, in the order of the sentence


@dataclass(frozen=True)
class Finding:
    """A question, its answer, and the sentence with the numbers.

    Args:
        question: the question.
        answer: ``yes``, ``no``, ``same`` (no effect), ``weak`` (no effect, of a term that hardly trained the student),
            ``open`` or ``missing``.
        sentence: the measured numbers.
        claim: the paper's claim, unless the sentence includes it.
        evidence: id of the exhibit with the numbers.
        subject: what is compared, as the subject of a sentence; empty unless the question is about a difference.
        gain: that difference, in points of mIoU, with the interval by which it is judged.
        over: label of the row that it is compared with.
        row: name of the row that is compared with it.
        study: name of the study that decided; empty where the profile's own runs did.
        size: number of places and seeds of that study.
        added: whether its plan got this comparison only after the runs.
    """

    question: str
    answer: str
    sentence: str
    claim: str = ""
    evidence: str = "table7"
    subject: str = ""
    gain: Interval | None = None
    over: str = ""
    row: str = ""
    study: str = ""
    size: str = ""
    added: bool = False


def verdict(gain: Interval, margin: float = MARGIN, sd: float = 0.0) -> str:
    """The answer that an interval of a gain in points supports.

    ``yes`` / ``no``: the 95 % interval lies above / below 0 and the mean is at least ``margin`` from it;
    ``same``: the gain lies within +-``margin`` (two one-sided tests at 5 %); ``open``: neither; ``missing``: no value.
    Because of the margin, an interval that barely touches zero does not reverse an answer on another processor; because
    of ``sd``, neither do a few seeds that happen to agree.

    Args:
        gain: mean and interval over seeds.
        margin: points that count as no difference.
        sd: standard deviation of the profile's comparisons together; the interval has at least this one.

    >>> verdict(Interval(2.0, 1.0, 3)), verdict(Interval(-2.0, 1.0, 3)), verdict(Interval(0.5, 1.0, 3))
    ('yes', 'no', 'open')
    >>> verdict(Interval(0.1, 0.2, 10)), verdict(Interval(0.2, 0.1, 10))
    ('same', 'same')
    >>> verdict(Interval(-0.6, 0.2, 3)), verdict(Interval(-0.6, 0.2, 3), sd=0.6)
    ('no', 'open')
    """
    gain = gain.with_sd(sd)
    if not gain.n:
        return "missing"
    if gain.excludes(0.0) and abs(gain.mean) >= margin:
        return "yes" if gain.mean > 0 else "no"
    return "same" if gain.within(margin) else "open"


def findings(results: Results) -> list[Finding]:
    """Answers whether the teacher is better, and every question of the ablation's rows about each other (``compare``).

    A complete study on the profile's data set (`topokd.paper.studies`) overrides the profile's few seeds. Without one,
    each comparison is judged with at least the standard deviation of all comparisons of the profile together.

    The comparison of the rows in ``params.panels.rows`` comes first, the others follow in the order of the rows.
    """
    compared = _compared(results)
    headline = results.params.panels.rows
    compared.sort(key=lambda pair: not set(pair) <= set(headline))  # stable: the others keep their order
    teacher = [_teacher(results, headline[0])] if headline and headline[0] in results.rows else []
    sd = least_sd(results)
    return [*teacher, *(_compare(results, row, over, sd) for row, over in compared)]


def least_sd(results: Results) -> float:
    """Standard deviation of all comparisons of the profile together: each is judged with at least this one."""
    return pooled_sd(results.gain(row, over) for row, over in _compared(results))


def _compared(results: Results) -> list[tuple[str, str]]:
    """Every row, with every row that it has a question about."""
    return [(row, over) for row in results.rows for over in _questions(results, row)]


def _questions(results: Results, row: str) -> Iterator[str]:
    """Rows with a question about ``row``, in the order of the rows."""
    compare = results.rows[row].compare
    return (over for over in results.rows if over in compare and compare[over].question)


def _teacher(results: Results, alone: str) -> Finding:
    question = "Is the teacher better than the student trained alone?"
    gain = results.gain(TEACHER, alone)
    if not gain.n:
        return Finding(question, "missing", "Not measured yet: run the stages `teacher` and `student`.")
    answer = verdict(gain)
    ends = {
        "yes": "so there is something to distil.",
        "no": "so there is nothing to distil: the teacher is too small or was trained too briefly.",
        "same": f"less than {MARGIN:g} points: there is nothing to distil.",
        "open": "which these seeds cannot distinguish from chance.",
    }
    sentence = (
        f"The teacher reaches {results.score(TEACHER).text()} mIoU, the student trained alone "
        f"{results.score(alone).text()}: a difference of {gain.text(sign=True)} points ({_count(gain.n, 'student')}, "
        f"{_count(len(results.runs[TEACHER]), 'teacher')}), {ends[answer]}{_invented(results)}"
    )
    return Finding(question, answer, sentence, "", "ablation", "the teacher", gain)


def _invented(results: Results) -> str:
    """A sentence on classes that lower the teacher's mIoU although no validation scan has them; usually empty."""
    if results.metric != "miou_skip" or not (names := results.invented_classes(TEACHER)):
        return ""
    return f" The teacher also predicts {' and '.join(names)}, which no validation scan has: an IoU of 0 in its mIoU."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _compare(results: Results, row: str, over: str, sd: float) -> Finding:
    about, label = results.rows[row].compare[over], results.labels[over]
    gain = results.gain(row, over)
    in_paper = row in reported.rows("table7") or row in reported.rows("table2")
    evidence = "table7" if in_paper else "beyond"
    if (decided := verdict_of(results, row, over)) is not None:
        comparison, study = decided
        sentence = f"With {about.subject}, by the {study['profile']}: {sentence_of(comparison, study)}"
        if gain.n:
            sentence += f" In this profile: {gain.text(sign=True)} ({_count(gain.n, 'seed')})."
        answer = answer_of(comparison, study)
        low, high = comparison["intervals"]["seeds"]
        decided_gain = Interval(comparison["difference"], (high - low) / 2, comparison["seeds"])
        sentence += _reported(row, over)
        return Finding(
            about.question, answer, sentence, "", "studies_comparisons", about.subject, decided_gain, label, row,
            study["profile"], f"{study['places'][row]} places, {comparison['seeds']} seeds",
            comparison.get("added", False),
        )  # fmt: skip
    if not gain.n:
        sentence = f"Not measured yet: run the stage `student` for {row} and {over}."
        return Finding(about.question, "missing", sentence, "", evidence)
    answer = verdict(gain, sd=sd)
    seeds = f"{gain.n} seeds" if gain.n > 1 else "1 seed"
    judged = gain.with_sd(sd)
    sentence = (
        f"With {about.subject} the student changes by {judged.text(sign=True)} points of mIoU against “{label}” "
        f"({results.score(over).text()} → {results.score(row).text()}, {seeds}, paired)"
    )
    sentence += {
        "yes": "; the 95 % interval lies above zero.",
        "no": "; the 95 % interval lies below zero: here it does harm.",
        "same": f"; it lies within ±{MARGIN:g} points (two one-sided tests at 5 %).",
        "open": _open(gain, sd),
    }[answer]
    return Finding(
        about.question, answer, sentence + _reported(row, over), "", evidence, about.subject, judged, label, row
    )


def _open(gain: Interval, sd: float) -> str:
    """Why a gain is inconclusive, and how many seeds would be needed."""
    if gain.n < 2 or math.isnan(gain.half_width):
        return "; one seed gives no interval."
    judged = gain.with_sd(sd)
    if judged.excludes(0.0):
        return f"; the mean is less than {MARGIN:g} points from zero."
    needed = seeds_to_detect(judged, effect=1.0)
    more = f"About {needed}" if needed else "More than 200"
    few = gain.excludes(0.0) or gain.within(MARGIN)  # decided by its own seeds alone
    spread = f" if {gain.n} seeds vary as they do in all comparisons together (standard deviation {sd:.2f})"
    return (
        f"; the 95 % interval contains zero{spread * few}. {more} seeds with this standard deviation would find a "
        f"difference of one point with a probability of {100 * POWER:g} %."
    )


def _reported(row: str, over: str) -> str:
    """A sentence on the same difference in the paper; empty if it is not reported."""
    if gains := reported.gains(MAIN_TABLES, row, over):
        return f" The paper reports {_gains(gains)} (test)."
    if gains := reported.gains(("table7",), row, over):
        return f" The paper's Table 7 reports {_gains(gains)}."
    return ""


def _gains(gains: Mapping[str, float]) -> str:
    return ", ".join(f"{signed(gain)} on {dataset}" for dataset, gain in gains.items())
