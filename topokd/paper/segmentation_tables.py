"""Tables 1, 2, 4 and 7: reported values next to the measured ones of this profile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from topokd.paper import reported
from topokd.paper.lines import Line, frame, line, measured_line, reported_lines, seeds_text, unmeasured_line
from topokd.paper.results import Results, class_names
from topokd.project import TEACHER

OTHER_CONVENTION = {"miou_zero": "mIoU, absent 0", "miou_skip": "mIoU, absent skipped"}
SEMANTICKITTI_COLUMNS = {"traffic-sign": "traffic"}  # our class -> column of Table 2, where they differ
NUSCENES_COLUMNS = {  # the same for Table 1
    "construction_vehicle": "construction",
    "traffic_cone": "traffic-cone",
    "driveable_surface": "driveable",
    "other_flat": "other",
}
MIOU_COLUMN = {"table4": "mIoU val"}  # where it is not "mIoU"
ALL_TERMS = "full"  # the row with every term of Eq. 8


def all_terms(table: str) -> dict[str, str]:
    """The name for readers of our row with all terms, by the paper's name, where "KD" is the whole method.

    Elsewhere in the report KD is one of the terms.

    >>> all_terms("table2")
    {'Student with KD': 'Student with KD, all terms'}
    """
    return {name: f"{name}, all terms" for row, name in reported.rows(table).items() if row == ALL_TERMS}


def table1(results: Results) -> pd.DataFrame:
    """nuScenes: reported cells, and those measured on nuScenes or in its layout."""
    return frame([*reported_lines("table1"), *_measured("table1", results, "nuscenes", "nuScenes")])


def table4(results: Results) -> pd.DataFrame:
    """Waymo: reported cells, and those measured on Waymo or in its layout."""
    return frame([*reported_lines("table4"), *_measured("table4", results, "waymo", "Waymo")])


def table2(results: Results) -> pd.DataFrame:
    """SemanticKITTI: reported cells, and those measured on the profile's validation scans, class by class."""
    lines = reported_lines("table2")
    if results_for_dataset(results, "semantickitti") is not results:
        return frame([*lines, unmeasured_line("table2", results, "SemanticKITTI")])
    other = "miou_zero" if results.metric == "miou_skip" else "miou_skip"
    metrics = {results.metric: "mIoU", other: OTHER_CONVENTION[other], "accuracy": "accuracy"}
    for network, row in _printed_rows("table2", results).items():
        for metric, column in metrics.items():
            lines.append(measured_line("table2", row, column, results, results.scores(network, metric)))
        lines += _class_lines("table2", row, results, network, SEMANTICKITTI_COLUMNS)
    return frame(lines)


def table7(results: Results) -> pd.DataFrame:
    """The ablation: mIoU of the paper's rows in its order, and gains over the rows they are compared with.

    Measured gains are paired by seed. Networks that the paper's table does not have are in `beyond`.
    """
    rows = results.rows
    lines = []
    for column in reported.datasets("table7").values():
        lines += [cell for cell in reported_lines("table7") if cell["column"] == column]
        lines += _reported_gains(results, column)
    for network in reported.load("table7").index:
        if network in rows:
            lines += _score_and_gains("table7", network, results)
    return frame(lines)


def beyond(results: Results) -> pd.DataFrame:
    """mIoU and gains of the networks that the paper's Table 7 does not have, the teacher first."""
    printed = reported.load("table7").index
    lines: list[dict[str, Any]] = []
    for network in (TEACHER, *(row for row in results.rows if row not in printed)):
        lines += _score_and_gains("beyond", network, results)
    return frame(lines)


def _score_and_gains(table: str, network: str, results: Results) -> Iterator[Line]:
    scores = results.scores(network)
    yield measured_line(table, network, "mIoU", results, scores)
    for over in compared_with(results, network):
        if network in results.runs and over in results.runs:
            gain = measured_line(
                table, network, gain_over(results, over), results, scores, results.gain(network, over), "points"
            )
            seeds = set(results.by_student(network)) & set(results.by_student(over))
            yield gain | {"note": "paired by seed", "seeds": seeds_text(seeds)}


def compared_with(results: Results, row: str) -> list[str]:
    """The rows that ``row`` is compared with, those with more terms first; the teacher with the student alone."""
    if row == TEACHER:
        return [name for name in results.params.panels.rows[:1] if name in results.rows]
    if row not in results.rows:
        return []
    return [name for name in reversed(results.rows) if name in results.rows[row].compare]


def gain_over(results: Results, over: str) -> str:
    """Column of the gains over a row."""
    return f"gain over {results.rows[over].short}"


def results_for_dataset(results: Results, layout: str) -> Results:
    """The results of the profile if it trains on ``layout``, otherwise those of its panel in that layout, if any."""
    data = results.params.data
    own = data.layout if data.dataset == "synthetic" else data.dataset
    return results if own == layout else Results.read(results.folder / "panels" / layout)


def _reported_gains(results: Results, column: str) -> Iterator[Line]:
    """Differences of the printed cells of a column of Table 7, for the comparisons of the profile's rows."""
    printed = reported.load("table7").index
    for row in results.rows:
        for over in compared_with(results, row):
            if row in printed and over in printed:
                gain = reported.value(f"table7|{row}|{column}") - reported.value(f"table7|{over}|{column}")
                head = f"{column}, {gain_over(results, over)}"
                yield line("table7", row, head, "points", "reported", mean=gain) | {
                    "note": "difference of the printed cells"
                }


def _printed_rows(table: str, results: Results) -> dict[str, str]:
    """Networks to measure for a table and their rows: those that the paper's table has, and rows of our own.

    Rows of the paper's ablation that are not in ``table`` stay in Table 7.
    """
    printed = reported.rows(table)
    networks = [name for name in printed if name == TEACHER or name in results.params.rows]
    ours = [name for name in results.rows if name not in printed and name not in reported.rows("table7")]
    return {name: printed[name] for name in networks} | {name: results.labels[name] for name in ours}


def _measured(table: str, results: Results, layout: str, dataset: str) -> list[Line]:
    """Measured lines of `results_for_dataset`."""
    panel = results_for_dataset(results, layout)
    if not panel.runs:
        return [unmeasured_line(table, results, dataset)]
    lines = []
    for network, row in _printed_rows(table, panel).items():
        column = MIOU_COLUMN.get(table, "mIoU")
        lines.append(measured_line(table, row, column, panel, panel.scores(network)))
        if table == "table1":
            lines += _class_lines(table, row, panel, network, NUSCENES_COLUMNS)
    return lines


def _class_lines(table: str, row: str, results: Results, network: str, columns: dict[str, str]) -> Iterable[Line]:
    """One line per class, with a note where no validation scan has it."""
    for name in class_names(results):
        scores = results.class_scores(network, name)
        note = "" if scores or not results.runs.get(network) else "class absent from the validation scans"
        yield measured_line(table, row, columns.get(name, name), results, scores, note=note)
