"""How labels of a data set are written: ids, colours and number type, as a checkpoint keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from topokd.choices import LabelType
from topokd.data.label_space import LabelSpace
from topokd.errors import CheckpointError
from topokd.label_maps.description import LabelMap

_RGB = tuple[int, int, int]


@dataclass(frozen=True)
class WrittenLabels:
    """Ids, colours and number type of label files, for the classes of a network trained with a label map.

    Attributes:
        ids: one per class.
        no_class: id of points without a class.
        palette: red, green, blue 0..255 of each class.
        dtype: number type, little-endian.

    Examples:
        >>> from topokd.label_maps import load_label_map
        >>> label_map = load_label_map("semanticstf")
        >>> written = WrittenLabels.of(label_map, label_map.space(Path()))
        >>> written.ids[:3], written.no_class
        ((1, 2, 3), 0)
        >>> WrittenLabels.read(Path("a"), written.metadata(), 19) == written
        True
    """

    ids: tuple[int, ...]
    no_class: int
    palette: tuple[_RGB, ...]
    dtype: LabelType = "uint32"

    @classmethod
    def of(cls, label_map: LabelMap, space: LabelSpace, names: tuple[str, ...] | None = None) -> WrittenLabels:
        """The ids and colours of a label map.

        Args:
            label_map: the map.
            space: its classes.
            names: names of the classes wanted, in their order; None: all.
        """
        place = {name: number for number, name in enumerate(space.class_names)}
        wanted = [place[name] for name in (space.class_names if names is None else names)]
        ids = tuple(space.raw_ids[k] for k in wanted)
        free = space.ignored[0] if space.ignored else next(number for number in range(1 << 16) if number not in ids)
        dtype: LabelType = "uint8" if label_map.layout == "nuscenes" else label_map.label_dtype
        return cls(ids, free, tuple(space.palette[k] for k in wanted), dtype)

    def metadata(self) -> dict[str, str]:
        """Strings for a checkpoint."""
        return {
            "label_ids": ",".join(map(str, self.ids)),
            "label_none": str(self.no_class),
            "label_dtype": self.dtype,
            "label_colors": ",".join(" ".join(map(str, color)) for color in self.palette),
        }

    @classmethod
    def read(cls, path: str | Path, strings: Mapping[str, str], classes: int) -> WrittenLabels | None:
        """Those that a checkpoint records; None if it does not.

        Args:
            path: the checkpoint, for messages.
            strings: its metadata.
            classes: their number, by the weights.

        Raises:
            CheckpointError: the metadata contradict the weights or themselves.
        """
        if "label_ids" not in strings:
            return None
        ids = _numbers(path, strings, "label_ids", 1 << 16)
        free = _numbers(path, strings, "label_none", 1 << 16)
        none = free[0] if len(free) == 1 else -1
        colors = _numbers(path, strings, "label_colors", 256)
        dtype: Any = strings.get("label_dtype", "uint32")
        largest = {"uint8": 255, "uint16": 65535, "uint32": 65535}.get(dtype, -1)
        fits = len(ids) == len(set(ids)) == classes and len(colors) == 3 * classes
        if (
            not fits
            or dtype not in get_args(LabelType)
            or not 0 <= none <= largest
            or max(ids) > largest
            or none in ids
        ):
            raise CheckpointError(
                f"{path}: its metadata label_ids, label_none, label_colors and label_dtype do not fit {classes} "
                "classes or each other: the file was edited or assembled incorrectly; use the one that training wrote"
            )
        palette = tuple((colors[k], colors[k + 1], colors[k + 2]) for k in range(0, len(colors), 3))
        return cls(ids, none, palette, dtype)


def written_labels(dataset: object) -> WrittenLabels | None:
    """How the labels of a data set are written; None for one that no label map describes.

    Args:
        dataset: any dataset.

    Returns:
        Ids of the classes, their colours and the number type, or None.

    Examples:
        >>> written_labels([]) is None
        True
    """
    label_map, space = getattr(dataset, "label_map", None), getattr(dataset, "labels", None)
    if not isinstance(label_map, LabelMap) or not isinstance(space, LabelSpace):
        return None
    return WrittenLabels.of(label_map, space)


def _numbers(path: str | Path, strings: Mapping[str, str], name: str, bound: int) -> tuple[int, ...]:
    words = strings.get(name, "").replace(",", " ").split()
    if not all(word.isascii() and word.isdigit() and len(word) < 7 and int(word) < bound for word in words):
        raise CheckpointError(
            f"{path}: its metadata {name} is {strings.get(name, '')[:60]!r}, not whole numbers below {bound}: use the "
            "file that training wrote"
        )
    return tuple(int(word) for word in words)
