"""Lines of a result table: one per cell, reported or measured, each complete in itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from topokd.paper import reported
from topokd.paper.results import Results
from topokd.paper.statistics import Interval, interval

COLUMNS = (
    "table", "row", "column", "unit", "source", "printed", "mean", "half_width", "n", "seeds",
    "profile", "dataset", "split", "varies", "note",
)  # fmt: skip
Line = dict[str, Any]


def line(table: str, row: str, column: str, unit: str, source: str, **values: Any) -> Line:
    """One line; columns that are not given are empty, ``mean`` and ``half_width`` NaN.

    Args:
        table: id of the table.
        row: its row.
        column: its column.
        unit: unit of the cell.
        source: "reported" or "measured".
        **values: other columns by name, see `COLUMNS`.
    """
    return {
        **dict.fromkeys(COLUMNS, ""),
        **{"mean": float("nan"), "half_width": float("nan"), "n": ""},
        **{"table": table, "row": row, "column": column, "unit": unit, "source": source},
        **values,
    }


def frame(lines: list[Line]) -> pd.DataFrame:
    """The lines as a table with the columns `COLUMNS`."""
    return pd.DataFrame(lines, columns=list(COLUMNS))


def reported_lines(table: str) -> list[Line]:
    """The printed cells of a table."""
    about = reported.describe(table)
    return [
        line(table, cell["row"], cell["column"], cell["unit"], "reported", printed=cell["printed"], mean=cell["value"])
        | {"dataset": about["dataset"], "split": about["split"], "note": cell["reference"]}
        for _, cell in reported.cells(table).iterrows()
    ]


def measured_line(
    table: str,
    row: str,
    column: str,
    results: Results,
    values: Mapping[int, float],
    value: Interval | None = None,
    unit: str = "%",
    note: str = "",
) -> Line:
    """One measured cell, with a note where nothing was measured.

    Args:
        table: id of the table.
        row: its row.
        column: its column.
        results: the profile that measured it.
        values: by seed.
        value: the cell, if it is not the mean of ``values``.
        unit: unit of the cell.
        note: a remark.
    """
    value = value or interval(values.values())
    return line(table, row, column, unit, "measured", mean=value.mean, half_width=value.half_width, n=value.n) | {
        "seeds": seeds_text(values),
        "profile": results.profile,
        "dataset": results.dataset,
        "split": "val",
        "note": note or ("" if value.n else "not measured yet: run the training stages"),
    }


def unmeasured_line(table: str, results: Results, dataset: str) -> Line:
    """The line of a table that this profile cannot measure because it runs on other data than ``dataset``."""
    note = f"not measured in this profile: it runs on {results.dataset}, not on {dataset}"
    return line(table, "", "", "", "measured", n=0) | {
        "profile": results.profile,
        "dataset": results.dataset,
        "note": note,
    }


def seeds_text(seeds: Iterable[int]) -> str:
    """Seeds in order, with spaces between them."""
    return " ".join(str(seed) for seed in sorted(seeds))
