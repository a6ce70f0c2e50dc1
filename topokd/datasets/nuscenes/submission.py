"""The submission of nuScenes-lidarseg: a folder, or that folder as a .zip.

``lidarseg/<set>/<token>_lidarseg.bin``: uint8 1..16 per point; ``<set>/submission.json``: the inputs used.

The checks follow ``eval/lidarseg/validate_submission.py`` and ``utils.py`` of nuscenes-devkit, and add superfluous
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

from topokd.datasets.nuscenes.archive import folder_to_read, folder_to_write
from topokd.datasets.nuscenes.classes import NUSCENES
from topokd.datasets.nuscenes.published import RELEASES
from topokd.datasets.nuscenes.reader import NuScenesLidarSeg
from topokd.datasets.submission_ids import format_names, size_problems, submission_ids
from topokd.errors import DataError
from topokd.io import write_bytes, write_json

META = ("use_camera", "use_lidar", "use_radar", "use_map", "use_external")
SUFFIX = "_lidarseg.bin"


def write_submission(
    path: Path,
    dataset: NuScenesLidarSeg,
    predictions: Iterable[tuple[int, Int64[ndarray, " _"]]],
    split: str,
    details: Mapping[str, Any],
) -> None:
    """`write_submission_folder` of a dataset's keyframes, without the points of accumulated sweeps.

    Args:
        path: where to write.
        dataset: the split's scans.
        predictions: index of a scan, and a class (n,) for each of its points.
        split: name of the split.
        details: fields of the submission, by the names in `DETAILS`.
    """
    names = dataset.names
    by_token = ((_token(names[i]), classes[: dataset.own_points(names[i])]) for i, classes in predictions)
    write_submission_folder(path, by_token, split, bool(details.get("external", False)))


def validate_submission(path: Path, dataset: NuScenesLidarSeg, split: str) -> list[str]:
    """`validate_submission_folder` against a dataset, and the size of the dataset itself.

    Args:
        path: the submission.
        dataset: the split's scans.
        split: name of the split.
    """
    problems = size_problems(len(dataset), RELEASES[dataset.version].sizes[split])
    return problems + validate_submission_folder(
        path, {_token(name): dataset.own_points(name) for name in dataset.names}, split
    )


def _token(name: str) -> str:
    return name.split("/")[1]


def write_submission_folder(
    path: str | Path,
    predictions: Iterable[tuple[str, Int64[ndarray, " _"]]],
    eval_set: str = "test",
    use_external: bool = False,
) -> None:
    """Write the submission; ``submission.json`` comes last and says that only the LiDAR was used.

    Args:
        path: a folder, or a file name that ends with .zip.
        predictions: token of a lidar sample_data and its classes 0..15; they are taken one by one.
        eval_set: the split.
        use_external: whether further data were used for training.

    Raises:
        DataError: a token that cannot be a file name or is given twice, a class out of range, or ``path`` exists and is
            of the other kind.

    Examples:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_submission_folder(folder, [("9d9bf11fb0e144c8b446d54a8a00184f", np.array([0, 15]))], "val")
        >>> np.fromfile(folder / "lidarseg/val/9d9bf11fb0e144c8b446d54a8a00184f_lidarseg.bin", np.uint8).tolist()
        [1, 16]
    """
    with folder_to_write(Path(path)) as folder:
        written = set()
        for token, classes in predictions:
            if not token.isalnum():
                raise DataError(f"{token!r} is not a token of a lidar sample_data, which has only letters and digits")
            if token in written:
                raise DataError(f"sample_data {token} was given twice: each has one prediction")
            written.add(token)
            ids = submission_ids(NUSCENES, classes, token).astype(np.uint8)
            write_bytes(folder / "lidarseg" / eval_set / f"{token}{SUFFIX}", ids.tobytes())
        meta = {name: name == "use_lidar" or (name == "use_external" and use_external) for name in META}
        write_json(folder / eval_set / "submission.json", {"meta": meta})


def validate_submission_folder(path: str | Path, points: Mapping[str, int], eval_set: str = "test") -> list[str]:
    """The reasons for which the server would reject the submission; empty if there are none.

    Args:
        path: a folder or a .zip.
        points: number of points of every lidar sample_data token of the split.
        eval_set: the split.

    Raises:
        DataError: ``path`` is neither a folder nor an intact .zip, or ``points`` is empty.
    """
    if not points:
        raise DataError(f"no keyframe of {eval_set} to compare with: give the data set's folder and that split")
    with folder_to_read(Path(path)) as folder:
        return _folder_problems(folder, points, eval_set)


def _folder_problems(folder: Path, points: Mapping[str, int], eval_set: str) -> list[str]:
    problems = _meta_problems(folder / eval_set / "submission.json", f"{eval_set}/submission.json")
    labels = folder / "lidarseg" / eval_set
    if not labels.is_dir():
        return [*problems, f"the folder lidarseg/{eval_set} is missing"]
    present = {file.name for file in labels.iterdir()}
    wanted = {f"{token}{SUFFIX}": count for token, count in points.items()}
    missing, superfluous = sorted(set(wanted) - present), sorted(present - set(wanted))
    if missing:
        problems.append(f"missing predictions, {format_names(missing)}")
    if superfluous:
        problems.append(f"files in lidarseg/{eval_set} that belong to no keyframe of it, {format_names(superfluous)}")
    for name in sorted(set(wanted) & present):
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
