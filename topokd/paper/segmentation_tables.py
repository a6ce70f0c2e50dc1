"""Tables 1, 2, 4 and 7: what is reported beside what this profile measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from topokd.paper import reported
from topokd.paper.results import TEACHER, Results
from topokd.paper.statistics import Interval, interval, paired

COLUMNS = (
    "table", "row", "column", "unit", "source", "printed", "mean", "half_width", "n", "seeds",
    "profile", "dataset", "split", "varies", "note",
)  # fmt: skip
STUDENTS = {"plain": "Student w.o KD", "full": "Student with KD", TEACHER: "PTv3 (Teacher)"}  # the paper's row names
ABLATION = ("kd", "kd_topo", "kd_grad", "full")
OTHER_CONVENTION = {"miou_zero": "mIoU, absent 0", "miou_skip": "mIoU, absent skipped"}  # than the profile's own
TABLE7_COLUMNS = (("SemanticKITTI", "S.KITTI"), ("Waymo", "Waymo"), ("nuScenes", "nuScenes"))
OVER = {"kd": "KD", "plain": "no KD"}
STUDENT_ROWS = {"kd": ABLATION[1:], "plain": ABLATION}  # the rows whose gain over another one is shown
SEMANTICKITTI_CLASSES = {"traffic-sign": "traffic"}  # our class name -> Table 2's column, where they differ

NUSCENES_CLASSES = {  # the same for Table 1
    "construction_vehicle": "construction",
    "traffic_cone": "traffic-cone",
    "driveable_surface": "driveable",
    "other_flat": "other",
}
PANEL_ROWS = {
    "table1": STUDENTS,
    "table4": {"plain": "Ours (Student w/o KD)", "full": "Ours (Student w/ KD)", TEACHER: "Ours (Teacher)"},
}


def table1(results: Results) -> pd.DataFrame:
    """nuScenes: reported cells, and what this profile measured in nuScenes' layout."""
    return _frame([*reported_lines("table1"), *_panel("table1", results, "nuscenes", "nuScenes")])


def table2(results: Results) -> pd.DataFrame:
    """SemanticKITTI: reported cells, and our teacher and students on the profile's validation scans, class by class."""
    lines = reported_lines("table2")
    if measured_on(results, "semantickitti") is not results:
        return _frame([*lines, not_measured("table2", results, "SemanticKITTI")])
    other = "miou_zero" if results.metric == "miou_skip" else "miou_skip"
    for variant, row in STUDENTS.items():
        for metric, column in (
            (results.metric, "mIoU"),
            (other, OTHER_CONVENTION[other]),
            ("accuracy", "accuracy"),
        ):
            lines.append(measured("table2", row, column, results, results.scores(variant, metric)))
        for name in class_names(results):
            scores = results.class_scores(variant, name)
            note = "" if scores or not results.runs.get(variant) else "class absent from the validation scans"
            column = SEMANTICKITTI_CLASSES.get(name, name)
            lines.append(measured("table2", row, column, results, scores, note=note))
    return _frame(lines)


def table4(results: Results) -> pd.DataFrame:
    """Waymo: reported cells, and what this profile measured in Waymo's layout."""
    return _frame([*reported_lines("table4"), *_panel("table4", results, "waymo", "Waymo")])


def measured_on(results: Results, layout: str) -> Results:
    """The profile's own results where it trains on ``layout``, else those of its panel in that layout, if any."""
    data = results.params.data
    own = data.layout if data.dataset == "synthetic" else data.dataset
    return results if own == layout else Results.read(results.folder / "panels" / layout)


def _panel(table: str, results: Results, layout: str, dataset: str) -> list[dict[str, Any]]:
    """Measured lines of :func:`measured_on`."""
    panel = measured_on(results, layout)
    if not panel.runs:
        return [not_measured(table, results, dataset)]
    lines = []
    for variant, row in PANEL_ROWS[table].items():
        column = {"table4": "mIoU val"}.get(table, "mIoU")
        lines.append(measured(table, row, column, panel, panel.scores(variant)))
        for name in class_names(panel) if table == "table1" else ():
            scores = panel.class_scores(variant, name)
            note = "" if scores or not panel.runs.get(variant) else "class absent from the validation scans"
            lines.append(measured(table, row, NUSCENES_CLASSES.get(name, name), panel, scores, note=note))
    return lines


def table7(results: Results) -> pd.DataFrame:
    """The ablation: reported and measured mIoU of each row, and its gain over the first row (measured: paired by seed).

    Two measured rows more than the paper's table has: the teacher, and the student trained without it.
    """
    lines = []
    for _, column in TABLE7_COLUMNS:
        lines += [line for line in reported_lines("table7") if line["column"] == column]
        base = reported.value(f"table7|kd|{column}")
        for variant in ABLATION[1:]:
            gain = reported.value(f"table7|{variant}|{column}") - base
            lines.append(
                _line("table7", variant, f"{column}, gain over KD", "points", "reported", mean=gain)
                | {"note": "difference of the printed cells"}
            )
    for variant in (TEACHER, "plain", *ABLATION):
        lines.append(measured("table7", variant, "mIoU", results, results.scores(variant)))
        for other in ("kd", "plain"):
            if variant in STUDENT_ROWS[other] and variant in results.runs and other in results.runs:
                a, b = results.scores(variant), results.scores(other)
                lines.append(
                    measured("table7", variant, f"gain over {OVER[other]}", results, a, paired(a, b), "points")
                    | {"note": "paired by seed", "seeds": _seeds(set(a) & set(b))}
                )
    return _frame(lines)


def class_names(results: Results) -> list[str]:
    """The class names that the run records agree on; empty where there is no record."""
    return next((list(run["evaluation"]["class_names"]) for run in results.all_runs()), [])


def reported_lines(table: str) -> list[dict[str, Any]]:
    """The printed cells of a table as lines of the result table."""
    about = reported.describe(table)
    return [
        _line(table, cell["row"], cell["column"], cell["unit"], "reported", printed=cell["printed"], mean=cell["value"])
        | {"dataset": about["dataset"], "split": about["split"], "note": cell["reference"]}
        for _, cell in reported.cells(table).iterrows()
    ]


def measured(
    table: str,
    row: str,
    column: str,
    results: Results,
    values: Mapping[int, float],
    value: Interval | None = None,
    unit: str = "%",
    note: str = "",
) -> dict[str, Any]:
    """One measured line: ``value``, or the mean of ``values`` over seeds; says so where nothing was measured."""
    value = value or interval(values.values())
    line = _line(table, row, column, unit, "measured", mean=value.mean, half_width=value.half_width, n=value.n)
    return line | {
        "seeds": _seeds(values),
        "profile": results.profile,
        "dataset": results.dataset,
        "split": "val",
        "note": note or ("" if value.n else "not measured yet: run the training stages"),
    }


def not_measured(table: str, results: Results, dataset: str) -> dict[str, Any]:
    """The line that says plainly that this profile cannot measure a table."""
    note = f"not measured in this profile: it runs on {results.dataset}, not on {dataset}"
    return _line(table, "", "", "", "measured", n=0) | {
        "profile": results.profile,
        "dataset": results.dataset,
        "note": note,
    }


def _line(table: str, row: str, column: str, unit: str, source: str, **values: Any) -> dict[str, Any]:
    return {
        **dict.fromkeys(COLUMNS, ""),
        **{"mean": float("nan"), "half_width": float("nan"), "n": ""},
        **{"table": table, "row": row, "column": column, "unit": unit, "source": source},
        **values,
    }


def _seeds(seeds: Any) -> str:
    return " ".join(str(seed) for seed in sorted(seeds))


def _frame(lines: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(lines, columns=list(COLUMNS))
