"""Names, colours and file ids of the classes that a checkpoint predicts."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from pathlib import Path

from topokd.choices import LabelType
from topokd.datasets import BENCHMARKS
from topokd.errors import ParameterError
from topokd.label_maps import LabelMap, WrittenLabels
from topokd.schema import nearest
from topokd.viz.clouds import RGB


@dataclass(frozen=True)
class Classes:
    """Names and colours of a checkpoint's classes, and their ids in .label files.

    Attributes:
        names: one per output of the network.
        palette: red, green, blue 0..255 of each.
        ids: id of each class in .label files.
        no_class: id of points without a class.
        dtype: integer type of the ids in the files, little-endian.

    Examples:
        >>> classes = Classes.of(("road", "car"))
        >>> classes.ids, classes.no_class, classes.palette[0]
        ((1, 2), 0, (178, 62, 62))
    """

    names: tuple[str, ...]
    palette: RGB
    ids: tuple[int, ...]
    no_class: int = 0
    dtype: LabelType = "uint32"

    @classmethod
    def of(cls, names: tuple[str, ...]) -> Classes:
        """Colours and ids of the benchmark that has these classes; otherwise distinct hues, and ids 1..C.

        Examples:
            >>> Classes.of(("road", "car")).ids
            (1, 2)
        """
        for space in (benchmark.classes for benchmark in BENCHMARKS.values()):
            if space.class_names == names:
                return cls(names, space.palette, space.submission_ids)
        hues = [colorsys.hsv_to_rgb((0.61803 * k) % 1, 0.65, 0.9 if k % 2 else 0.7) for k in range(len(names))]
        return cls(names, [tuple(round(255 * v) for v in hue) for hue in hues], tuple(range(1, len(names) + 1)))  # type: ignore[misc]

    def mapped(self, label_map: LabelMap, source: Path) -> Classes:
        """The same classes with the colours, ids and number type of a label map.

        Args:
            label_map: has all these class names, perhaps more, in any order.
            source: a scan or folder of the data set, for a map that takes its ids from a table there.

        Raises:
            ParameterError: the map lacks a class.
            DataError: its table is missing or damaged.
        """
        space = label_map.space(label_map.root_above(source))
        place = {name: number for number, name in enumerate(space.class_names)}
        lacking = [name for name in self.names if name not in place]
        if lacking:
            raise ParameterError(
                f"the label map {label_map.name} has no class {lacking[0]!r}, which the network predicts; "
                f"{nearest(lacking[0], place)}; its names must match those used in training"
            )
        return Classes.written(self.names, WrittenLabels.of(label_map, space, self.names))

    @classmethod
    def written(cls, names: tuple[str, ...], labels: WrittenLabels) -> Classes:
        """The classes ``names`` with the colours, ids and number type of ``labels``."""
        return cls(names, list(labels.palette), labels.ids, labels.no_class, labels.dtype)

    def legend(self) -> list[dict[str, object]]:
        """The meaning of the numbers in the outputs: class (.npy, .ply), id (.label), name, colour."""
        rows = zip(self.names, self.ids, self.palette, strict=True)
        return [{"class": k, "id": i, "name": name, "rgb": list(rgb)} for k, (name, i, rgb) in enumerate(rows)]
