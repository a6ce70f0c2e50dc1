"""From classes to the ids that a server expects, checked."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from topokd.data.label_space import LabelSpace
from topokd.errors import DataError

SHOWN = 5  # names listed in a message


def submission_ids(space: LabelSpace, classes: Int64[ndarray, " n"], name: str) -> ndarray:
    """The server's id of every class 0..C-1. Raises :class:`DataError` naming the scan for any other value."""
    classes = np.asarray(classes)
    if classes.ndim != 1 or classes.dtype.kind not in "iu":
        raise DataError(
            f"prediction of {name}: {classes.dtype} of shape {classes.shape}; give one integer class per point"
        )
    wrong = classes[(classes < 0) | (classes >= space.num_classes)]
    if wrong.size:
        raise DataError(
            f"prediction of {name} holds {wrong[0]} at {wrong.size} of {classes.size} points; a submission to "
            f"{space.name} needs a class 0..{space.num_classes - 1} at every point"
        )
    return np.array(space.submission_ids)[classes]


def listed(names: Iterable[str]) -> str:
    """The first names of many, and how many there are.

    >>> listed(str(i) for i in range(7))
    '7: 0, 1, 2, 3, 4, ...'
    """
    found = list(names)
    return f"{len(found)}: {', '.join(found[:SHOWN])}{', ...' if len(found) > SHOWN else ''}"
