"""The 32 categories of nuScenes-lidarseg and the 16 classes of its challenge (nuscenes-devkit).

The files hold the ``index`` of ``category.json``; it is mapped to classes by category name (`label_space_of`),
because the annotators' manual numbers the flat classes differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from topokd.data.label_space import LabelSpace, with_raw_ids
from topokd.errors import DataError

CATEGORIES: tuple[tuple[str, str | None], ...] = (
    ("noise", None),
    ("animal", None),
    ("human.pedestrian.adult", "pedestrian"),
    ("human.pedestrian.child", "pedestrian"),
    ("human.pedestrian.construction_worker", "pedestrian"),
    ("human.pedestrian.personal_mobility", None),
    ("human.pedestrian.police_officer", "pedestrian"),
    ("human.pedestrian.stroller", None),
    ("human.pedestrian.wheelchair", None),
    ("movable_object.barrier", "barrier"),
    ("movable_object.debris", None),
    ("movable_object.pushable_pullable", None),
    ("movable_object.trafficcone", "traffic_cone"),
    ("static_object.bicycle_rack", None),
    ("vehicle.bicycle", "bicycle"),
    ("vehicle.bus.bendy", "bus"),
    ("vehicle.bus.rigid", "bus"),
    ("vehicle.car", "car"),
    ("vehicle.construction", "construction_vehicle"),
    ("vehicle.emergency.ambulance", None),
    ("vehicle.emergency.police", None),
    ("vehicle.motorcycle", "motorcycle"),
    ("vehicle.trailer", "trailer"),
    ("vehicle.truck", "truck"),
    ("flat.driveable_surface", "driveable_surface"),
    ("flat.other", "other_flat"),
    ("flat.sidewalk", "sidewalk"),
    ("flat.terrain", "terrain"),
    ("static.manmade", "manmade"),
    ("static.other", None),
    ("static.vegetation", "vegetation"),
    ("vehicle.ego", None),
)
"""(category name, class name or None for ignored) in the order of the released ``category.json``: position = index."""

_CLASSES = (
    "barrier", "bicycle", "bus", "car", "construction_vehicle", "motorcycle", "pedestrian", "traffic_cone", "trailer",
    "truck", "driveable_surface", "other_flat", "sidewalk", "terrain", "manmade", "vegetation",
)  # fmt: skip


def _raw_ids(index_of: Mapping[str, int]) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
    """File ids of each class and of the ignored categories."""
    raw_ids_of_class: dict[str, tuple[int, ...]] = dict.fromkeys(_CLASSES, ())
    ignored: tuple[int, ...] = ()
    for name, class_name in CATEGORIES:
        if class_name is None:
            ignored += (index_of[name],)
        else:
            raw_ids_of_class[class_name] += (index_of[name],)
    return raw_ids_of_class, ignored


_RAW_IDS_OF_CLASS, _IGNORED = _raw_ids({name: index for index, (name, _) in enumerate(CATEGORIES)})

NUSCENES = LabelSpace(
    name="nuScenes-lidarseg",
    class_names=_CLASSES,
    palette=(
        (112, 128, 144), (220, 20, 60), (255, 127, 80), (255, 158, 0), (233, 150, 70), (255, 61, 99), (0, 0, 230),
        (47, 79, 79), (255, 140, 0), (255, 99, 71), (0, 207, 191), (175, 0, 75), (75, 0, 75), (112, 180, 60),
        (222, 184, 135), (0, 175, 0),
    ),
    raw_ids_of_class=tuple(_RAW_IDS_OF_CLASS[name] for name in _CLASSES),
    ignored=_IGNORED,
    submission_ids=tuple(range(1, 17)),
    bits=8,
    hint="labels must hold the index of category.json (17 car, 24 driveable surface, ...), of the same version",
)  # fmt: skip
"""The released numbering; palette: the colour that the devkit gives to the first category of each class."""


def category_indices(categories: Iterable[Mapping[str, Any]], file: Path | str = "category.json") -> dict[str, int]:
    """Category name to the index that label files have for it, checked.

    Args:
        categories: records of the table.
        file: the table, for error messages.

    Raises:
        DataError: a table without ``index``, an index that does not fit into uint8, or one that two categories share.
    """
    index_of: dict[str, int] = {}
    for record in categories:
        if "index" not in record:
            raise DataError(
                f"{file}: category {record.get('name')!r} has no field `index`: this is the table of the boxes; "
                "unpack nuScenes-lidarseg into the folder: its category.json replaces this one"
            )
        name, index = str(record.get("name")), record["index"]
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < 1 << NUSCENES.bits:
            raise DataError(
                f"{file}: category {name!r}: index is {index!r}; labels hold whole numbers from 0 to "
                f"{(1 << NUSCENES.bits) - 1}; take the category.json of nuScenes-lidarseg v1.0"
            )
        if index in index_of.values():
            raise DataError(
                f"{file}: category {name!r} has the index {index} of another one, so their labels look the same; "
                "take the category.json of nuScenes-lidarseg v1.0"
            )
        index_of[name] = index
    return index_of


def label_space_of(categories: Iterable[Mapping[str, Any]], file: Path | str = "category.json") -> LabelSpace:
    """The 16 classes with the ids that ``category.json`` gives to their categories.

    Args:
        categories: records of the table.
        file: the table, for error messages.

    Raises:
        DataError: a table without ``index`` (that of plain nuScenes, with the 23 categories of boxes); an index
            that does not fit into uint8 or that two categories share; a missing or unknown category.

    Examples:
        >>> import numpy as np
        >>> table = [{"name": name, "index": 31 - i} for i, (name, _) in enumerate(CATEGORIES)]
        >>> label_space_of(table).class_of_raw(np.array([31 - 17, 31])).tolist()
        [3, -1]
    """
    index_of = category_indices(categories, file)
    expected = {name for name, _ in CATEGORIES}
    missing, unknown = sorted(expected - set(index_of)), sorted(set(index_of) - expected)
    if missing or unknown:
        raise DataError(
            f"{file}: "
            + "; ".join(
                f"{verb} {', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"
                for verb, names in (("lacks the categories", missing), ("has unknown categories", unknown))
                if names
            )
            + "; take the category.json of nuScenes-lidarseg v1.0"
        )
    return with_raw_ids(NUSCENES, *_raw_ids(index_of))
