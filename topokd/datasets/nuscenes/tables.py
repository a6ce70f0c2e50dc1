"""The JSON tables of nuScenes: records that refer to each other by token, checked as they are read."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from topokd.checks import require_inside
from topokd.errors import AbsentSplitError, DataError
from topokd.io import read_json

Record = dict[str, Any]

FIELDS: dict[str, dict[str, type]] = {
    "sensor": {"token": str, "channel": str},
    "calibrated_sensor": {"token": str, "sensor_token": str, "translation": list, "rotation": list},
    "sample_data": {
        **{"token": str, "sample_token": str, "ego_pose_token": str, "calibrated_sensor_token": str},
        **{"filename": str, "is_key_frame": bool, "prev": str},
    },
    "ego_pose": {"token": str, "translation": list, "rotation": list},
    "scene": {"name": str, "first_sample_token": str},
    "sample": {"token": str, "next": str},
    "category": {"name": str},
    "lidarseg": {"sample_data_token": str, "filename": str},
    "panoptic": {"sample_data_token": str, "filename": str},
}
"""Fields that are read from the records of each table."""


def official_splits() -> dict[str, tuple[str, ...]]:
    """Scene names of train, val, test, mini_train and mini_val (nuscenes-devkit, utils/splits.py).

    >>> {name: len(scenes) for name, scenes in official_splits().items()}
    {'train': 700, 'val': 150, 'test': 150, 'mini_train': 8, 'mini_val': 2}
    """
    table = read_json(str(files("topokd.datasets.nuscenes").joinpath("splits.json")))
    return {name: tuple(f"scene-{number:04d}" for number in numbers) for name, numbers in table.items()}


def split_scenes(folder: Path, split: str | Sequence[str], scenes: Collection[str]) -> list[str]:
    """Names of the scenes of a split that the tables hold.

    Args:
        folder: ``<root>/<version>``.
        split: by name, or the names of its scenes, which must all be there.
        scenes: the names in ``scene.json``.

    Raises:
        DataError: the version has no such split, or a scene is missing.
        AbsentSplitError: none of the scenes of a named split is there.
    """
    version = folder.name
    if not isinstance(split, str):
        missing = [name for name in split if name not in scenes]
        if missing:
            raise DataError(
                f"{folder / 'scene.json'} lacks the scenes {', '.join(missing[:5])}: choose among"
                f" its {len(scenes)}, {', '.join(sorted(scenes)[:3])}, ..."
            )
        return list(split)
    known = {"v1.0-trainval": ("train", "val"), "v1.0-mini": ("train", "val", "mini_train", "mini_val")}
    allowed = known.get(version, ("test",))
    if split not in allowed:
        raise DataError(f"{version} has no split {split!r}: choose {' or '.join(allowed)}, or scene names")
    name = f"mini_{split}" if version == "v1.0-mini" and split in ("train", "val") else split
    wanted = official_splits()[name]
    present = [scene for scene in wanted if scene in scenes]
    if not present:
        raise AbsentSplitError(
            f"{folder / 'scene.json'} holds none of the {len(wanted)} scenes of split {name}: "
            f"it has {', '.join(sorted(scenes)[:3]) or 'no scene'}, ...; choose another version or split"
        )
    return present


def read_table(folder: Path, name: str) -> list[Record]:
    """The records of a table, checked for the fields that are read.

    Args:
        folder: ``<root>/<version>``.
        name: name of the table, a key of `FIELDS`.

    Raises:
        DataError: the table is missing or damaged.
    """
    file = folder / f"{name}.json"
    fix = f"unpack {f'nuScenes-{name}' if name in ('lidarseg', 'panoptic') else 'the metadata archive'} again"
    if not file.is_file():
        raise DataError(f"{file} does not exist: the table {name} is missing; {fix}")
    try:
        table = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:  # not text (a pickle, for example), or endlessly nested lists
        raise DataError(f"{file} is not valid JSON ({error}): {fix}") from None
    if not isinstance(table, list) or not all(isinstance(record, dict) for record in table):
        raise DataError(f"{file} is not a list of records: {fix}")
    for record in table:
        wrong = [field for field, kind in FIELDS[name].items() if not isinstance(record.get(field), kind)]
        if wrong:
            field, which = wrong[0], record.get("token", table.index(record))
            problem = f"{field!r} is {record[field]!r}" if field in record else f"has no field {field!r}"
            raise DataError(f"{file}: record {which} {problem}: the table is damaged or of another version; {fix}")
        if "filename" in FIELDS[name]:
            require_inside(record["filename"], f"{file}: record {record.get('token')}: filename")
    return table


def resolve(folder: Path, table: dict[str, Record], token: str, name: str, referrer: str, record: Record) -> Record:
    """The record that another one refers to.

    Args:
        folder: folder of the tables, for the message.
        table: records by token.
        token: token of the wanted record.
        name: name of the table.
        referrer: name of the table that ``record`` belongs to.
        record: holds ``token``.

    Raises:
        DataError: ``table`` has no such token.
    """
    if token not in table:
        raise DataError(
            f"{folder / f'{referrer}.json'}: record {record.get('token')} refers to {token!r}, "
            f"which is not in {name}.json: the tables belong to different versions; unpack the metadata again"
        )
    return table[token]


def rigid_transform(record: Record, table: Path) -> Float[np.ndarray, "4 4"]:
    """Homogeneous transform of a record with ``translation`` [m] and ``rotation`` (quaternion w, x, y, z).

    Raises:
        DataError: the rotation is zero, or a number is not finite.
    """
    rotation, translation = (
        _numbers(record, field, count, table) for field, count in (("rotation", 4), ("translation", 3))
    )
    length = np.linalg.norm(rotation)
    if length == 0:
        raise DataError(
            f"{table}: record {record['token']}: rotation is zero, not a quaternion; unpack the metadata again"
        )
    w, x, y, z = rotation / length
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = translation
    return matrix


def _numbers(record: Record, field: str, count: int, table: Path) -> Float[np.ndarray, " count"]:
    try:
        values = np.array(record[field], np.float64)
    except (TypeError, ValueError):  # text, or nested lists
        values = np.empty(0)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise DataError(
            f"{table}: record {record['token']}: {field} is {record[field]!r}, not {count} numbers; unpack the "
            "metadata again"
        )
    return values
