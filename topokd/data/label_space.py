"""What a benchmark calls its classes, and how the numbers in its files become classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from topokd.data.scan import IGNORE
from topokd.errors import DataError

_UNKNOWN = -2


@dataclass(frozen=True)
class LabelSpace:
    """One benchmark's classes 0..C-1.

    ``class_names``: in the benchmark's order; ``palette``: RGB 0..255 per class; ``gathers``: the file ids of each
    class, the first of them standing for the class where labels are written; ``ignored``: file ids that neither train
    nor count, the first standing for :data:`~topokd.data.scan.IGNORE` where labels are written; ``submission_ids``: the
    id that the benchmark's server expects of each class; ``bits``: width of a semantic id in the files.

    >>> from topokd.datasets.waymo.classes import WAYMO
    >>> WAYMO.class_names[0], WAYMO.class_of_raw(np.array([0, 1, 22])).tolist()
    ('car', [-1, 0, 21])
    """

    name: str
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    gathers: tuple[tuple[int, ...], ...]
    ignored: tuple[int, ...]
    submission_ids: tuple[int, ...]
    bits: int = 16
    hint: str = ""
    _table: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        table = np.full(1 << self.bits, _UNKNOWN, np.int64)
        table[list(self.ignored)] = IGNORE
        for index, raw_ids in enumerate(self.gathers):
            table[list(raw_ids)] = index
        object.__setattr__(self, "_table", table)

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)

    @property
    def raw_ids(self) -> tuple[int, ...]:
        """The file id that stands for each class."""
        return tuple(ids[0] for ids in self.gathers)

    def class_of_raw(self, raw: np.ndarray, file: Path | str = "labels") -> Int64[np.ndarray, n]:
        """Classes of ids as they stand in the files; raises :class:`DataError` that lists the unknown ones."""
        raw = np.asarray(raw)
        known = (raw >= 0) & (raw < len(self._table))
        classes = np.where(known, self._table[np.where(known, raw, 0)], _UNKNOWN)
        if (classes == _UNKNOWN).any():
            ids, counts = np.unique(raw[classes == _UNKNOWN], return_counts=True)
            listed = ", ".join(f"{i} ({c} points)" for i, c in zip(ids[:5], counts[:5], strict=True))
            raise DataError(
                f"{file}: class id{'s' if len(ids) > 1 else ''} {listed}{', ...' if len(ids) > 5 else ''} not in "
                f"{self.name}'s list; {self.hint}"
            )
        return classes

    def raw_of_class(self, label: Int64[np.ndarray, n]) -> Int64[np.ndarray, n]:
        """File ids that stand for classes and IGNORE."""
        return np.append(self.raw_ids, self.ignored[0])[label]  # IGNORE is -1, the appended one


def with_raw_ids(space: LabelSpace, gathers: Mapping[str, tuple[int, ...]], ignored: tuple[int, ...]) -> LabelSpace:
    """``space`` with other file ids, by class name: for data sets that number their categories in a table."""
    return LabelSpace(
        space.name,
        space.class_names,
        space.palette,
        tuple(gathers[name] for name in space.class_names),
        ignored,
        space.submission_ids,
        space.bits,
        space.hint,
    )
