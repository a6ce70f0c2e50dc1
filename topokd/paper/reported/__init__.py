"""The paper's numbers, transcribed once: Tables 1-8 cell by cell as printed, and the figures its text quotes.

``tableN.csv`` holds the printed cells (LaTeX markup written as plain characters), ``tables.yaml`` a description of each
table, ``claims.csv`` the numbers of the text, the quantity behind each, and the cells they can be checked against.
`disagreements` lists where the paper contradicts itself; the tables are never corrected.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

FOLDER = Path(__file__).parent
TABLES = tuple(f"table{n}" for n in range(1, 9))
_NUMBER = re.compile(r"^[~≈+]?\s*([\d,]*\.?\d+)\s*(ms|s|GB|MB|×)?(?:\s.*)?$")


def load(table: str) -> pd.DataFrame:
    """``"table1"`` .. ``"table8"`` as printed: strings, one row per printed row, indexed by ``row``.

    >>> load("table3").loc["Our Student", "FPS"]
    '27.64'
    """
    return _read(table).copy()


@functools.cache
def _read(table: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / f"{table}.csv", dtype=str, keep_default_na=False).set_index("row")


@functools.cache
def _descriptions() -> dict[str, dict[str, Any]]:
    return yaml.safe_load((FOLDER / "tables.yaml").read_text(encoding="utf-8"))


def describe(table: str) -> dict[str, Any]:
    """Description of a table from tables.yaml: ``title``, ``dataset``, ``split``, ``unit`` or ``units``, ``notes``,
    ``text`` (columns that are not results), ``remarks`` (those of them that go with a row's reference), ``rows`` and
    ``datasets``."""
    return {"remarks": [], **_descriptions()[table]}


def rows(table: str) -> dict[str, str]:
    """The paper's row of each of our networks that the table has, by the network's name.

    >>> rows("table2")["full"]
    'Student with KD'
    """
    return describe(table).get("rows", {})


def datasets(table: str) -> dict[str, str]:
    """The columns of mIoU of a table by data set.

    >>> datasets("table7")["SemanticKITTI"]
    'S.KITTI'
    """
    return describe(table).get("datasets", {})


def gains(tables: Sequence[str], network: str, over: str) -> dict[str, float]:
    """Differences of printed mIoU of two of our networks in points, by data set; empty if a table lacks one.

    >>> {name: round(gain, 1) for name, gain in gains(("table2", "table1"), "full", "plain").items()}
    {'SemanticKITTI': 1.6, 'nuScenes': 2.1}
    """
    gains = {}
    for table in tables:
        names = rows(table)
        if network in names and over in names:
            for dataset, column in datasets(table).items():
                if {names[network], names[over]} <= set(load(table).index):
                    a, b = (value(f"{table}|{names[name]}|{column}") for name in (network, over))
                    gains[dataset] = a - b
    return gains


def flop_ratios() -> dict[tuple[str, str], float]:
    """Ratios of FLOPs of Table 5 by the part and kind of ``model_cost.json`` that they correspond to (NOTES row 16).

    >>> flop_ratios()["encoder", "without_attention"]
    36.7
    """
    printed = {
        ("encoder", "without_attention"): "Encoder GFLOPs",
        ("decoder", "without_attention"): "Decoder GFLOPs",
        ("encoder", "projections"): "Attention Compute (Encoder)",
    }
    return {kind: value(f"table5|{row}|Comparison") for kind, row in printed.items()}


def cells(table: str) -> pd.DataFrame:
    """One line per result cell: table, row, column, reference, printed, value (NaN if it is not a number), unit.

    >>> cells("table6").query("row == 'Total CUDA Time' and column == 'Student'")[["printed", "value", "unit"]].values
    array([['102.07 ms', 102.07, 'ms']], dtype=object)
    """
    about, frame = describe(table), load(table)
    lines = []
    for row, printed in frame.iterrows():
        for column in frame.columns:
            if column in ("reference", *about["text"]):
                continue
            value, unit = parse(printed[column])
            lines.append(
                {
                    "table": table,
                    "row": row,
                    "column": column,
                    "reference": ", ".join(printed[c] for c in ("reference", *about["remarks"]) if printed.get(c)),
                    "printed": printed[column],
                    "value": value,
                    "unit": unit or about.get("units", {}).get(column, about.get("unit", "")),
                }
            )
    return pd.DataFrame(lines)


def value(cell: str) -> float:
    """The number of one cell named ``"table|row|column"``; memory in GB and time in ms if the cell has a unit.

    >>> round(value("table6|LN (CUDA Memory)|Student"), 5)
    0.98543
    """
    table, row, column = cell.split("|")
    number, unit = parse(load(table).loc[row, column])
    return number * {"MB": 1e-3, "s": 1e3}.get(unit, 1.0)


def claims() -> pd.DataFrame:
    """The numbers quoted in the text, the quantity behind each, and the same quantity computed from the tables.

    Columns of claims.csv and ``from_tables`` (NaN if no table has it) and ``agrees`` (None there): whether the two
    agree: a number printed twice must be the same, a computed one may differ as far as rounding allows (`_possible`),
    and one that the paper calls approximate by 5 %.
    """
    lines = []
    for line in csv.DictReader((FOLDER / "claims.csv").read_text(encoding="utf-8").splitlines()):
        derived = _derive(line["op"], line["a"], line["b"])
        half_unit = 0.5 * 10 ** -len(line["value"].partition(".")[2])
        agrees = None
        if derived is not None:
            low, high = _possible(line["op"], line["a"], line["b"])
            printed = float(line["value"])
            slack = 0.05 * printed if line["measures"].startswith("approximately") else half_unit
            agrees = low - slack - 1e-9 <= printed <= high + slack + 1e-9
        lines.append({**line, "value": float(line["value"]), "from_tables": derived, "agrees": agrees})
    return pd.DataFrame(lines)


def disagreements() -> pd.DataFrame:
    """Where the paper contradicts itself: place, quantity, dataset, printed value, and the value from its tables.

    Besides the claims, each row of Tables 1 and 2 is checked: its mIoU against the mean of its class cells.
    """
    quoted = claims()
    lines = [
        {key: claim[key] for key in ("place", "quantity", "dataset", "printed")}
        | {"tables": _as_printed(claim), "source": _source(claim["a"], claim["b"])}
        for _, claim in quoted[quoted["agrees"].eq(False)].iterrows()
    ]
    for table in ("table1", "table2"):
        for row, group in cells(table).groupby("row", sort=False):
            miou, classes = group["value"].iloc[0], group["value"].iloc[1:]
            if classes.notna().all() and abs(classes.mean() - miou) > 0.1:
                lines.append(
                    {
                        "place": f"Table {table[-1]}",
                        "quantity": f"{row}: mIoU",
                        "dataset": describe(table)["dataset"],
                        "printed": f"{miou}%",
                        "tables": f"{classes.mean():.2f}%",
                        "source": f"mean of the row's {len(classes)} classes",
                    }
                )
    return pd.DataFrame(lines)


def parse(printed: str) -> tuple[float, str]:
    """The number at the start of a printed cell and its unit: NaN and "" if there is none.

    >>> parse("~0.0592 s"), parse("46,160,000 (~46.16M)"), parse("79×")
    ((0.0592, 's'), (46160000.0, ''), (79.0, '×'))
    """
    match = _NUMBER.match(printed.strip())
    return (float(match[1].replace(",", "")), match[2] or "") if match else (float("nan"), "")


def _derive(op: str, a: str, b: str) -> float | None:
    if not op:
        return None
    first = value(a)
    if op == "value":
        return first
    second = value(b)
    return {"ratio": first / second, "difference": first - second, "saving": 100 * (1 - second / first)}[op]


def _possible(op: str, a: str, b: str) -> tuple[float, float]:
    """Smallest and largest value of a derived quantity before its cells were rounded; for "value" both are the cell."""
    if op == "value":
        return value(a), value(a)
    corners = []
    for cell_a in _unrounded(a):
        for cell_b in _unrounded(b):
            corners.append(
                {"ratio": cell_a / cell_b, "difference": cell_a - cell_b, "saving": 100 * (1 - cell_b / cell_a)}[op]
            )
    return min(corners), max(corners)


def _unrounded(cell: str) -> tuple[float, float]:
    """Both ends of the interval of numbers that round to a printed cell, in the unit of `value`."""
    table, row, column = cell.split("|")
    match = _NUMBER.match(load(table).loc[row, column].strip())
    assert match is not None
    number, _ = parse(load(table).loc[row, column])
    half = 0.5 * 10 ** -len(match[1].partition(".")[2])
    factor = value(cell) / number
    return (number - half) * factor, (number + half) * factor


def _as_printed(claim: pd.Series) -> str:
    """The value from the tables in the form in which the claim is printed: a gain in points has a sign and no unit."""
    if claim["op"] == "difference":
        return f"{claim['from_tables']:+.1f}"
    return f"{claim['from_tables']:.4g}{claim['unit']}"


NAMES = {
    "kd": "KD", "kd_topo": "KD + topology", "kd_grad": "KD + saliency", "full": "all terms", "S.KITTI": "SemanticKITTI",
}  # fmt: skip


def _source(a: str, b: str) -> str:
    cells = [cell.split("|") for cell in (a, b) if cell]
    names = [f"Table {table[-1]}: {NAMES.get(row, row)}, {NAMES.get(column, column)}" for table, row, column in cells]
    return " and ".join(names)
