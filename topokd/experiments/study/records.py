"""What the record of a unit must say, so that a damaged one, or one of another study, is not taken for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from topokd.experiments.study.bootstrap import miou

KEYS = ("row", "seed", "terms", "learning_rate_factor", "steps", "miou", "streets", "history", "cpu_seconds")


def problem(record: Mapping[str, Any], expected: Mapping[str, Any], streets: Sequence[str] | None) -> str | None:
    """Why a record cannot be that of its unit; None if it can.

    Args:
        record: the record.
        expected: values that it must have, by key.
        streets: names of the streets on which the unit is evaluated; None where they are not known before.

    Examples:
        >>> counts = [[2, 1], [4, 2], [2, 2]]
        >>> record = dict.fromkeys(KEYS, 0) | {"seed": 3, "streets": {"08": counts}, "miou": 41.6666667}
        >>> problem(record, {"seed": 3}, ["08"]), problem(record, {"seed": 4}, ["08"])
        (None, 'its `seed` is 3, in this study it is 4')
    """
    if missing := [key for key in KEYS if key not in record]:
        return f"it lacks {', '.join(f'`{key}`' for key in missing)}"
    for key, value in expected.items():
        if record[key] != value:
            return f"its `{key}` is {record[key]}, in this study it is {value}"
    if "failed" in record:
        return None
    own = record["streets"]
    if not isinstance(own, dict):
        return "its `streets` must be counts by street"
    if streets is not None and sorted(own) != sorted(streets):
        return f"its streets are {_listed(own)}, in this study they are {_listed(streets)}"
    try:
        counts = np.array([own[name] for name in sorted(own)])
    except ValueError:  # of several lengths
        counts = np.zeros(0)
    if counts.ndim != 3 or counts.shape[1] != 3 or not counts.shape[2] or counts.dtype.kind != "i" or counts.min() < 0:
        return "its `streets` must have three lists of counts each, with one count per class"
    found = float(miou(counts.sum(0)))
    if not isinstance(record["miou"], int | float) or abs(found - record["miou"]) > 1e-6:
        return f"its `miou` is {record['miou']}, but its counts give {found:.6f}"
    return None


def _listed(names: Any) -> str:
    return ", ".join(map(str, sorted(names))) or "none"
