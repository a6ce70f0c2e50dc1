"""Names, colours and file ids of the classes that a checkpoint predicts."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

from topokd.datasets import BENCHMARKS
from topokd.viz.clouds import RGB


@dataclass(frozen=True)
class Classes:
    """Names and colours of a checkpoint's classes, and their ids in .label files (0: points without a class)."""

    names: tuple[str, ...]
    palette: RGB
    ids: tuple[int, ...]

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

    def legend(self) -> list[dict[str, object]]:
        """The meaning of the numbers in the outputs: class (.npy, .ply), id (.label), name, colour."""
        rows = zip(self.names, self.ids, self.palette, strict=True)
        return [{"class": k, "id": i, "name": name, "rgb": list(rgb)} for k, (name, i, rgb) in enumerate(rows)]
