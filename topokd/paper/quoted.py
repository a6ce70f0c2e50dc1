"""Tables about the paper's own numbers: where they disagree, and which ratios its text quotes."""

from __future__ import annotations

import pandas as pd

from topokd.paper import reported
from topokd.paper.results import Results

SAVING = "77.75%"  # quoted with the speed-ups, although it is not a ratio


def contradictions(_: Results | None = None) -> pd.DataFrame:
    """Numbers of the paper that do not follow from its own cells (the same for every profile)."""
    columns = {
        "place": "Where", "quantity": "Quantity", "dataset": "Data set", "printed": "Printed",
        "tables": "From the tables", "source": "Cells",
    }  # fmt: skip
    return reported.disagreements().rename(columns=columns)[list(columns.values())]


def quoted_ratios(_: Results | None = None) -> pd.DataFrame:
    """Speed-ups and ratios of the paper's text, each with the quantity behind it (the same for every profile)."""
    columns = {"place": "Where", "quantity": "Quantity", "printed": "Printed", "measures": "Measured on"}
    claims = reported.claims()
    shown = claims[claims["unit"].eq("×") | claims["printed"].eq(SAVING)]
    return shown.rename(columns=columns)[list(columns.values())]
