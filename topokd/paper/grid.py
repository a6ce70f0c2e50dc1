"""Lays out the lines of a result table for readers, reported next to measured, as HTML cells or Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from topokd.paper.statistics import signed

Side = Literal["rows", "columns"]  # measured values: further rows, or columns next to the reported ones

LONGEST_REASON = 28  # characters of a reason that is shown in its cell; longer ones are shown on hovering
NOT_PRINTED = "not printed"  # a cell that the paper leaves blank


@dataclass(frozen=True)
class Cell:
    """One cell: its text, the half-width of its interval, and its source (``reported`` or ``measured``)."""

    text: str = ""
    half_width: str = ""
    source: str = ""
    note: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Grid:
    """``columns``: (source or "", label, unit); ``rows``: (label, reference, source or "", cells)."""

    columns: list[tuple[str, str, str]]
    rows: list[tuple[str, str, str, list[Cell]]]
    notes: list[str]  # about the measurement
    absent: list[str]  # reasons why nothing was measured

    def markdown(self, corner: str = "") -> str:
        """A Markdown table."""
        many = len({source for source, _, _ in self.columns}) > 1
        heads = [
            f"{label}{f' ({unit})' if unit else ''}{f', {source}' if many and source else ''}"
            for source, label, unit in self.columns
        ]
        lines = [f"| {corner} | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
        for label, reference, source, cells in self.rows:
            name = f"{label} ({reference})" if reference else label
            name = f"**{name}, measured**" if source == "measured" else name
            shown = [f"{c.text} ± {c.half_width}" if c.half_width else c.text for c in cells]
            lines.append(f"| {name} | " + " | ".join(text.replace("|", "/") for text in shown) + " |")
        return "\n".join([*lines, *(f"\n{note}." for note in (*self.absent, *self.notes))])


def grid(
    frame: pd.DataFrame,
    side: Side,
    names: Mapping[str, str] | None = None,
    measured: Mapping[str, str] | None = None,
) -> Grid:
    """Lay out the lines of one table. Lines without a row are notes; those with ``n`` of 0 explain missing values.

    Args:
        frame: lines (`topokd.paper.lines.COLUMNS`).
        side: ``"rows"`` puts measured rows below the reported ones, with shared columns (Tables 1, 2, 4);
            ``"columns"`` has one row for both, with measured columns right of the reported ones (Tables 3, 5-8).
        names: labels of rows for readers.
        measured: labels of the measured rows of ``"rows"`` that are not those of the reported ones.
    """
    cells: dict[tuple[Any, Any], Cell] = {}
    rows: dict[Any, tuple[str, str]] = {}
    columns: dict[tuple[str, str], set[str]] = {}
    general = frame[frame["row"].eq("")]
    absent = [str(line["note"]) for _, line in general.iterrows() if line["n"] in (0, "")]
    notes = [str(line["note"]) for _, line in general.iterrows() if line["n"] not in (0, "")]
    for _, line in frame[frame["row"].ne("")].iterrows():
        source = str(line["source"])
        row = (source if side == "rows" else "", str(line["row"]))
        column = ("" if side == "rows" else source, str(line["column"]))
        reference = str(line["note"]) if source == "reported" and line["printed"] else ""
        if not rows.get(row, ("", ""))[1]:
            rows[row] = (str(line["row"]), reference)
        units = columns.setdefault(column, set())
        if line["printed"] or not math.isnan(line["mean"]):  # a reason for a gap has no unit
            units.add(str(line["unit"]))
        cells[row, column] = _cell(line)
    for (row, column), cell in list(cells.items()):  # cells of a column with several units name their unit
        if len(columns[column]) > 1 and cell.unit and cell.source == "measured":
            cells[row, column] = replace(cell, text=f"{cell.text} {cell.unit}")
    printed = {column for (_, column), cell in cells.items() if cell.source == "reported"}
    return Grid(
        [(source, label, units.pop() if len(units) == 1 else "") for (source, label), units in columns.items()],
        [
            (
                {**(names or {}), **(measured or {} if row[0] == "measured" else {})}.get(label, label),
                reference,
                row[0],
                [
                    cells.get((row, column)) or _gap(row[0] or column[0], column[1], column in printed)
                    for column in columns
                ],
            )
            for row, (label, reference) in rows.items()
        ],
        notes,
        absent,
    )


def number(value: float, unit: str) -> str:
    """Format ``value``: one decimal for percent and points, two for ratios, otherwise three significant digits.

    >>> number(33.333, "%"), number(0.00012345, "s"), number(0.00025, "s"), number(46159312, "")
    ('33.3', '0.000123', '0.000250', '46,159,312')
    """
    if math.isnan(value):
        return ""
    if unit in ("%", "points"):
        return signed(value) if unit == "points" else f"{value:.1f}"
    if unit == "×":
        return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".") if abs(value) >= 1e-4 else f"{value:.1e}"


def _gap(source: str, column: str, printed: bool) -> Cell:
    """The cell of a row and column that no line fills, with the reason; empty in a column that the paper lacks."""
    if "gain over" in column:
        return Cell("–", "", source, "this row is not compared with that one")
    reason = "not in the paper" if source == "reported" else "not measured"
    return Cell(reason if printed or source == "measured" else "", "", source, reason)


def _cell(line: pd.Series) -> Cell:
    if line["printed"]:
        return Cell(str(line["printed"]), "", str(line["source"]))
    if line["source"] == "reported" and math.isnan(line["mean"]):
        return Cell(NOT_PRINTED, "", str(line["source"]), NOT_PRINTED)
    mean, half_width, unit = float(line["mean"]), float(line["half_width"]), str(line["unit"])
    if math.isnan(mean):
        text = str(line["note"])
        short = "absent" if "absent" in text else text if len(text) <= LONGEST_REASON else "–"
        return Cell(short, "", str(line["source"]), text)
    width = "" if math.isnan(half_width) else f"{half_width:.0f}" if half_width >= 10 else f"{half_width:.1f}"
    return Cell(number(mean, unit), width, str(line["source"]), str(line["note"]), unit)
