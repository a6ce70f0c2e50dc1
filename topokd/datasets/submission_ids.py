"""Helpers of the submission writers and validators: checked class ids, sizes, lists of names, zip entries."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from topokd.data.label_space import LabelSpace
from topokd.datasets.benchmark import SplitSize
from topokd.errors import DataError

MAX_NAMES = 5
"""Names listed in a message."""


def submission_ids(space: LabelSpace, classes: Int64[ndarray, " n"], name: str) -> Int64[ndarray, " n"]:
    """The id that the server expects for every class 0..C-1.

    Args:
        space: the classes of the data set.
        classes: (n,) predicted classes.
        name: name of the scan, for messages.

    Raises:
        DataError: names the scan and any other value.
    """
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


def size_problems(size: int, published: SplitSize, fix: str = "copy the whole split") -> list[str]:
    """A problem if the data are not exactly those that the server evaluates, since a submission depends on them.

    Args:
        size: number of scans or sequences that there are.
        published: size of what the server evaluates.
        fix: advice for a difference.
    """
    if size == published.count:
        return []
    kind = "a subset" if size < published.count else "too many"
    return [
        f"the data here are {kind}: {size:,} of {published.count:,} {published.unit} that the server compares with; "
        f"{fix}"
    ]


def format_names(names: Iterable[str]) -> str:
    """How many names there are, and the first of them.

    Examples:
        >>> format_names(str(i) for i in range(7))
        '7: 0, 1, 2, 3, 4, ...'
    """
    all_names = list(names)
    return f"{len(all_names)}: {', '.join(all_names[:MAX_NAMES])}{', ...' if len(all_names) > MAX_NAMES else ''}"


def zip_entry(name: str) -> zipfile.ZipInfo:
    """The entry of a file, or of a folder if ``name`` ends with a slash; no clock: equal predictions are equal bytes.

    Examples:
        >>> zip_entry("sequences/").is_dir(), zip_entry("sequences/11.label").date_time[0]
        (True, 1980)
    """
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_STORED if entry.is_dir() else zipfile.ZIP_DEFLATED
    entry.external_attr = (0o40755 << 16) | 0x10 if entry.is_dir() else 0o100644 << 16
    return entry
