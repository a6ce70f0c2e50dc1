"""The questions of the paper's Sec. 4, answered in sentences computed from the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from topokd.paper import reported
from topokd.paper.results import TEACHER, Results
from topokd.paper.statistics import Interval, signed

MAIN_TABLES = ("table2", "table4", "table1")  # with the results of the whole method, in the order of the sentence


@dataclass(frozen=True)
class Finding:
    """A question, its answer (``yes``, ``no``, ``open`` or ``missing``), and the sentence with the numbers."""

    question: str
    answer: str
    sentence: str


def verdict(gain: Interval) -> str:
    """``yes`` / ``no``: the interval lies above / below 0; ``open``: it contains 0, or there is only one seed.

    >>> verdict(Interval(2.0, 1.0, 3)), verdict(Interval(-2.0, 1.0, 3)), verdict(Interval(0.5, 1.0, 3))
    ('yes', 'no', 'open')
    """
    if not gain.n:
        return "missing"
    if not gain.excludes(0.0):
        return "open"
    return "yes" if gain.mean > 0 else "no"


def findings(results: Results) -> list[Finding]:
    """Is the teacher better, and every question that a row of the ablation asks about another (``compare``).

    The comparison of the rows in ``params.panels.rows`` comes first, the others follow in the order of the rows.
    """
    compared = [(row, over) for row in results.rows for over in _questions(results, row)]
    headline = results.params.panels.rows
    compared.sort(key=lambda pair: not set(pair) <= set(headline))  # stable: the others keep their order
    teacher = [_teacher(results, headline[0])] if headline and headline[0] in results.rows else []
    return [*teacher, *(_compare(results, row, over) for row, over in compared)]


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
        "open": "which these seeds cannot distinguish from chance.",
    }
    sentence = (
        f"The teacher reaches {results.score(TEACHER).text()} mIoU, the student trained alone "
        f"{results.score(alone).text()}: a difference of {gain.text(sign=True)} points (paired over {gain.n} "
        f"{'seeds' if gain.n > 1 else 'seed'}), {ends[answer]}"
    )
    return Finding(question, answer, sentence)


def _compare(results: Results, row: str, over: str) -> Finding:
    about = results.rows[row].compare[over]
    gain = results.gain(row, over)
    if not gain.n:
        return Finding(about.question, "missing", f"Not measured yet: run the stage `student` for {row} and {over}.")
    answer = verdict(gain)
    seeds = f"{gain.n} seeds" if gain.n > 1 else "1 seed"
    sentence = (
        f"With {about.subject} the student changes by {gain.text(sign=True)} points of mIoU against "
        f"“{results.labels[over]}” ({results.score(over).text()} → {results.score(row).text()}, {seeds}, paired)"
    )
    sentence += {
        "yes": "; the 95 % interval lies above zero.",
        "no": "; the 95 % interval lies below zero: here it does harm.",
        "open": "; the 95 % interval contains zero: these seeds cannot distinguish it from chance."
        if gain.n > 1
        else "; one seed gives no interval.",
    }[answer]
    return Finding(about.question, answer, sentence + _reported(row, over))


def _reported(row: str, over: str) -> str:
    """A sentence on the same difference in the paper; empty if it is not reported."""
    if gains := reported.gains(MAIN_TABLES, row, over):
        return f" The paper reports {_gains(gains)} (test)."
    if gains := reported.gains(("table7",), row, over):
        return f" The paper's Table 7 reports {_gains(gains)}."
    return ""


def _gains(gains: Mapping[str, float]) -> str:
    return ", ".join(f"{signed(gain)} on {dataset}" for dataset, gain in gains.items())
