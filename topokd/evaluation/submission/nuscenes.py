"""nuScenes-lidarseg's folder: ``lidarseg/<set>/<token>_lidarseg.bin``, uint8 1..16, and ``<set>/submission.json``.

What is checked follows ``eval/lidarseg/validate_submission.py`` and ``utils.py`` of nuscenes-devkit, and superfluous
files, which that tool does not see.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from topokd.datasets.nuscenes.classes import NUSCENES
from topokd.errors import DataError
from topokd.evaluation.submission.ids import listed, submission_ids
from topokd.io import write_bytes, write_json

META = ("use_camera", "use_lidar", "use_radar", "use_map", "use_external")
SUFFIX = "_lidarseg.bin"


def write_nuscenes(
    folder: str | Path,
    predictions: Iterable[tuple[str, Int64[ndarray, " n"]]],
    eval_set: str = "test",
    use_external: bool = False,
) -> None:
    """Write the folder. ``predictions`` yields the token of a lidar sample_data and its classes 0..15, scan by scan.

    ``submission.json`` is written last and says lidar alone; ``use_external``: trained with further data. Raises
    :class:`DataError` for a token that cannot be a file name or comes twice, and a class out of range.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_nuscenes(folder, [("9d9bf11fb0e144c8b446d54a8a00184f", np.array([0, 15]))], "val")
    >>> np.fromfile(folder / "lidarseg/val/9d9bf11fb0e144c8b446d54a8a00184f_lidarseg.bin", np.uint8).tolist()
    [1, 16]
    """
    folder = Path(folder)
    written = set()
    for token, classes in predictions:
        if not token.isalnum():
            raise DataError(f"{token!r} is no token of a lidar sample_data: letters and digits alone")
        if token in written:
            raise DataError(f"sample_data {token} was given twice: each has one prediction")
        written.add(token)
        ids = submission_ids(NUSCENES, classes, token).astype(np.uint8)
        write_bytes(folder / "lidarseg" / eval_set / f"{token}{SUFFIX}", ids.tobytes())
    meta = {name: name == "use_lidar" or (name == "use_external" and use_external) for name in META}
    write_json(folder / eval_set / "submission.json", {"meta": meta})


def validate_nuscenes(folder: str | Path, points: Mapping[str, int], eval_set: str = "test") -> list[str]:
    """What the server would reject; ``points``: number of points of every lidar sample_data token of the set."""
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file; nuScenes' submission is a folder" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {what}: write it with `topokd submit`")
    if not points:
        raise DataError(f"no keyframe of {eval_set} to compare with: give the data set's folder and that split")
    problems = _meta_problems(folder / eval_set / "submission.json", f"{eval_set}/submission.json")
    labels = folder / "lidarseg" / eval_set
    if not labels.is_dir():
        return [*problems, f"the folder lidarseg/{eval_set} is missing"]
    found = {file.name for file in labels.iterdir()}
    wanted = {f"{token}{SUFFIX}": count for token, count in points.items()}
    missing, superfluous = sorted(set(wanted) - found), sorted(found - set(wanted))
    if missing:
        problems.append(f"missing predictions, {listed(missing)}")
    if superfluous:
        problems.append(f"files in lidarseg/{eval_set} that belong to no keyframe of it, {listed(superfluous)}")
    for name in sorted(set(wanted) & found):
        if not (labels / name).is_file():
            problems.append(f"{name} is a folder, not a file of labels")
            continue
        ids = np.fromfile(labels / name, np.uint8)
        if len(ids) != wanted[name]:
            problems.append(f"{name} has {len(ids)} labels of uint8; its scan has {wanted[name]} points")
        elif (wrong := ids[(ids < 1) | (ids > 16)]).size:
            problems.append(
                f"{name} holds id {wrong[0]} at {wrong.size} points; ids are 1..16, 0 (ignored) is not allowed"
            )
    return problems


def _meta_problems(file: Path, name: str) -> list[str]:
    if not file.is_file():
        return [f"{name} is missing"]
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        return [f"{name} is not valid JSON ({error})"]
    meta = content.get("meta") if isinstance(content, dict) else None
    if not isinstance(meta, dict):
        return [f"{name} has no object `meta`"]
    problems = []
    if set(meta) != set(META):
        problems.append(
            f"{name}: meta must hold {', '.join(META)} and no other; it holds {', '.join(meta) or 'nothing'}"
        )
    problems += [
        f"{name}: meta.{key} is {meta[key]!r}; it must be true or false"
        for key in META
        if key in meta and not isinstance(meta[key], bool)
    ]
    return problems
