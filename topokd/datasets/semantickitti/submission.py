"""The SemanticKITTI zip: ``sequences/11..21/predictions/NNNNNN.label``, uint32 raw ids, one per point.

The checks follow ``validate_submission.py`` of semantic-kitti-api, and add two: that script accepts any id (the
evaluator then counts an unknown one as an error) and any further file.
"""

from __future__ import annotations

import logging
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from topokd.data.dataset import count_points
from topokd.datasets.semantickitti.classes import SEMANTICKITTI
from topokd.datasets.semantickitti.files import COLUMNS
from topokd.datasets.semantickitti.published import RELEASES
from topokd.datasets.semantickitti.reader import SPLITS, SemanticKITTI
from topokd.datasets.submission_ids import format_names, size_problems, submission_ids, zip_entry
from topokd.errors import DataError
from topokd.io import atomic_path

log = logging.getLogger(__name__)

SEQUENCES = SPLITS["test"]


def prepare_submission(dataset: SemanticKITTI, details: Mapping[str, Any]) -> None:
    """Raise an error if a test sequence is missing, before hours of prediction."""
    count_test_points(dataset.root)


def write_submission(
    path: Path,
    dataset: SemanticKITTI,
    predictions: Iterable[tuple[int, Int64[ndarray, " _"]]],
    split: str,
    details: Mapping[str, Any],
) -> None:
    """`write_submission_zip` of a dataset's scans, without the points of accumulated scans.

    Args:
        path: where to write.
        dataset: the split's scans.
        predictions: index of a scan, and a class (n,) for each of its points.
        split: name of the split.
        details: fields of the submission, by the names in `DETAILS`.
    """
    names = dataset.names
    write_submission_zip(path, ((names[i], classes[: dataset.own_points(names[i])]) for i, classes in predictions))


def validate_submission(path: Path, dataset: SemanticKITTI, split: str) -> list[str]:
    """`validate_submission_zip` against a dataset, and the size of the dataset itself.

    Args:
        path: the submission.
        dataset: the split's scans.
        split: name of the split.
    """
    problems = size_problems(len(dataset), RELEASES["semantickitti"].sizes[split])
    return problems + validate_submission_zip(path, dataset.root)


def write_submission_zip(path: str | Path, predictions: Iterable[tuple[str, Int64[ndarray, " _"]]]) -> None:
    """Write the zip, with the directory entries of all sequences 11 to 21 that the server demands.

    Args:
        path: must end with .zip.
        predictions: name ("11/000000") and classes 0..18 of each scan; they are taken one by one.

    Raises:
        DataError: a name outside the test split or given twice, a class out of range, another ending of ``path``.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "submission.zip"
        >>> write_submission_zip(path, [("11/000000", np.array([0, 8]))])
        >>> np.frombuffer(zipfile.ZipFile(path).read("sequences/11/predictions/000000.label"), np.uint32).tolist()
        [10, 40]
    """
    path = Path(path)
    if path.suffix != ".zip":
        raise DataError(f"{path}: the server accepts only names that end with .zip")
    written = set()
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in _folders():
            archive.writestr(zip_entry(folder), b"")
        for name, classes in predictions:
            member = _member(name)
            if member in written:
                raise DataError(f"scan {name} was given twice: each scan has one prediction")
            written.add(member)
            ids = submission_ids(SEMANTICKITTI, classes, name).astype("<u4")
            archive.writestr(zip_entry(member), ids.tobytes())


def validate_submission_zip(path: str | Path, root: str | Path) -> list[str]:
    """The reasons for which the server would reject the zip; empty if there are none.

    Args:
        path: the zip.
        root: folder that holds ``sequences/11..21/velodyne``.

    Raises:
        DataError: ``path`` is not a zip file, or ``root`` lacks test scans to compare with.
    """
    path, root = Path(path), Path(root)
    points = count_test_points(root)
    problems = [] if path.suffix == ".zip" else [f"the file is called {path.name}: its name must end with .zip"]
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: write it with `topokd submit`") from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise DataError(f"{path} is not a complete zip file ({error}): write it again with `topokd submit`") from error
    with archive:
        entries = {info.filename: info for info in archive.infolist()}
        problems += _folder_problems(entries)
        files = {name for name in entries if not name.endswith("/")}
        missing, superfluous = sorted(set(points) - files), sorted(files - set(points) - {"description.txt"})
        if missing:
            problems.append(f"missing predictions, {format_names(missing)}")
        if superfluous:
            problems.append(f"files that belong to no test scan, {format_names(superfluous)}")
        for name in sorted(set(points) & files):
            size = entries[name].file_size
            if size != 4 * points[name]:
                problems.append(
                    f"{name} has {size} bytes, {size / 4:g} labels of uint32; its scan has {points[name]} points"
                )
                continue
            try:
                ids = np.frombuffer(archive.read(name), "<u4") & 0xFFFF
            except (zipfile.BadZipFile, OSError, ValueError, EOFError, zlib.error, RuntimeError) as error:
                problems.append(f"{name} cannot be unpacked ({error})")
                continue
            wrong = np.setdiff1d(ids, SEMANTICKITTI.submission_ids)
            if wrong.size:
                known = {i for ids_of_class in SEMANTICKITTI.raw_ids_of_class for i in ids_of_class} | set(
                    SEMANTICKITTI.ignored
                )
                problems += _id_problem(name, ids, wrong, known)
    return problems


def _id_problem(name: str, ids: ndarray, wrong: ndarray, known: set[int]) -> list[str]:
    unknown = [int(i) for i in wrong if int(i) not in known]
    ignored = np.isin(ids, SEMANTICKITTI.ignored)
    if unknown:
        return [
            f"{name} holds id {', '.join(map(str, unknown[:5]))}, which SemanticKITTI does not have; write raw ids "
            "(10 car, 40 road, ...), not train ids"
        ]
    if ignored.any():  # the server takes it
        log.warning("%s holds the ignored class at %d points: each is a miss where labelled", name, ignored.sum())
    return []  # a moving object's id is mapped to its class


def _folder_problems(entries: dict[str, zipfile.ZipInfo]) -> list[str]:
    missing = [folder for folder in _folders() if folder not in entries]
    return [f"missing directory entries, {format_names(missing)}"] if missing else []


def _folders() -> Iterator[str]:
    yield "sequences/"
    for sequence in SEQUENCES:
        yield f"sequences/{sequence}/"
        yield f"sequences/{sequence}/predictions/"


def count_test_points(root: str | Path) -> dict[str, int]:
    """Number of points of every test scan below ``root``, by its name in the zip.

    Raises:
        DataError: a test sequence is missing.

    Examples:
        >>> import tempfile
        >>> count_test_points(tempfile.mkdtemp())
        Traceback (most recent call last):
        ...
        topokd.errors.DataError: ...11/velodyne has no scans: the server compares with the test sequences 11 to 21; ...
    """
    points: dict[str, int] = {}
    for sequence in SEQUENCES:
        folder = Path(root) / "sequences" / str(sequence) / "velodyne"
        scans = sorted(folder.glob("*.bin"))
        if not scans:
            raise DataError(
                f"{folder} has no scans: the server compares with the test sequences 11 to 21; unpack them there"
            )
        for scan in scans:
            points[f"sequences/{sequence}/predictions/{scan.stem}.label"] = count_points(scan, COLUMNS)
    return points


def _member(name: str) -> str:
    sequence, _, frame = name.partition("/")
    if not (sequence.isdigit() and int(sequence) in SEQUENCES and frame.isdigit() and len(frame) == 6):
        raise DataError(
            f"scan {name!r} is not one of the test split; names are 11/000000 to 21/...: predict that split"
        )
    return f"sequences/{int(sequence)}/predictions/{frame}.label"
