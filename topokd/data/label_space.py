"""Classes of a benchmark, and the mapping from the ids in its files to classes."""

from __future__ import annotations

import dataclasses
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
    """The classes 0..C-1 of one benchmark.

    Attributes:
        name: name of the benchmark, for people.
        class_names: names of the classes, in the benchmark's order.
        palette: RGB 0..255 per class.
        raw_ids_of_class: the file ids of each class; the first is used when labels are written.
        ignored: file ids that neither train nor count; the first is used to write
            `IGNORE`.
        submission_ids: the id that the benchmark's server expects for each class.
        bits: width of a class id in the files.
        hint: advice for the error message about unknown ids.

    Examples:
        >>> from topokd.datasets.waymo.classes import WAYMO
        >>> WAYMO.class_names[0], WAYMO.class_of_raw(np.array([0, 1, 22])).tolist()
        ('car', [-1, 0, 21])
    """

    name: str
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    raw_ids_of_class: tuple[tuple[int, ...], ...]
    ignored: tuple[int, ...]
    submission_ids: tuple[int, ...]
    bits: int = 16
    hint: str = ""
    _table: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        table = np.full(1 << self.bits, _UNKNOWN, np.int64)
        table[list(self.ignored)] = IGNORE
        for index, raw_ids in enumerate(self.raw_ids_of_class):
            table[list(raw_ids)] = index
        object.__setattr__(self, "_table", table)

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)

    @property
    def raw_ids(self) -> tuple[int, ...]:
        """The file id that each class is written as."""
        return tuple(ids[0] for ids in self.raw_ids_of_class)

    def class_of_raw(self, raw: np.ndarray, file: Path | str = "labels") -> Int64[np.ndarray, " n"]:
        """Classes of file ids.

        Args:
            raw: ids.
            file: their source, for the error message.

        Raises:
            DataError: lists the unknown ids.
        """
        raw = np.asarray(raw)
        known = (raw >= 0) & (raw < len(self._table))
        classes = np.where(known, self._table[np.where(known, raw, 0)], _UNKNOWN)
        if (classes == _UNKNOWN).any():
            ids, counts = np.unique(raw[classes == _UNKNOWN], return_counts=True)
            first_ids = ", ".join(f"{i} ({c} points)" for i, c in zip(ids[:5], counts[:5], strict=True))
            raise DataError(
                f"{file}: class id{'s' if len(ids) > 1 else ''} {first_ids}{', ...' if len(ids) > 5 else ''} not in "
                f"the list of {self.name}; {self.hint}"
            )
        return classes

    def raw_of_class(self, label: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """File ids of classes and IGNORE."""
        return np.append(self.raw_ids, self.ignored[0])[label]  # IGNORE is -1, the appended one


def with_raw_ids(
    space: LabelSpace, raw_ids_of_class: Mapping[str, tuple[int, ...]], ignored: tuple[int, ...]
) -> LabelSpace:
    """``space`` with other file ids per class name: for data sets that number their categories in a table.

    Args:
        space: the classes.
        raw_ids_of_class: file ids by class name.
        ignored: file ids of points without a class.
    """
    raw_ids = tuple(raw_ids_of_class[name] for name in space.class_names)
    return dataclasses.replace(space, raw_ids_of_class=raw_ids, ignored=ignored)
