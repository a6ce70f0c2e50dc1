"""The submission protobuf of Waymo Open.

Per frame one TOP laser, with both returns as compressed [64, 2650, 2] matrices of instance and class ids 1..22.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from topokd.data.scan import IGNORE
from topokd.datasets.submission_ids import format_names, size_problems
from topokd.datasets.waymo.classes import WAYMO
from topokd.datasets.waymo.frames import Frame, frame_name, frame_of
from topokd.datasets.waymo.messages import SENSOR_TYPES, messages
from topokd.datasets.waymo.published import RELEASES, TEST_FRAMES
from topokd.datasets.waymo.reader import WaymoSegmentation
from topokd.errors import DataError
from topokd.io import atomic_path

SHAPE = (64, 2650)
"""Rows and columns of the TOP lidar's range image."""
MOST_BYTES = 10 * SHAPE[0] * SHAPE[1] * 2 + 100
"""No matrix of two numbers per pixel is longer: an int32 takes at most 10 bytes."""

ReturnImages = tuple[Int64[ndarray, "64 2650"], Int64[ndarray, "64 2650"]]


DETAILS = {
    "account": "e-mail address registered with Waymo",
    "method": "name of the method, up to 25 letters",
    "authors": "list of the authors",
    "affiliation": "institution of the authors",
    "description": "the method in a few words",
    "method_link": "address of the paper or the code",
}
"""Fields of a submission besides the labels; the first three are required."""


@dataclass(frozen=True)
class SubmissionInfo:
    """`DETAILS`, checked."""

    account_name: str  # the e-mail registered with Waymo
    unique_method_name: str
    authors: tuple[str, ...]
    affiliation: str = ""
    description: str = ""
    method_link: str = ""
    sensor_type: str = "LIDAR_TOP"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", self.account_name):
            raise DataError(f"account_name is {self.account_name!r}; give the e-mail address registered with Waymo")
        if not self.unique_method_name or len(self.unique_method_name) > 25:
            raise DataError(f"unique_method_name is {self.unique_method_name!r}; give 1 to 25 letters")
        if not self.authors:
            raise DataError("authors is empty; name at least one")
        if self.sensor_type not in SENSOR_TYPES:
            raise DataError(f"sensor_type is {self.sensor_type!r}; choose one of {', '.join(SENSOR_TYPES)}")


def submission_info(details: Mapping[str, Any]) -> SubmissionInfo:
    """The details by their names in `DETAILS`, checked."""
    return SubmissionInfo(
        details.get("account", ""),
        details.get("method", ""),
        tuple(details.get("authors", ())),
        details.get("affiliation", ""),
        details.get("description", ""),
        details.get("method_link", ""),
    )


def prepare_submission(dataset: WaymoSegmentation, details: Mapping[str, Any]) -> None:
    """Raise an error for details that the server would reject, before hours of prediction."""
    submission_info(details)


def write_submission(
    path: Path,
    dataset: WaymoSegmentation,
    predictions: Iterable[tuple[int, Int64[ndarray, " _"]]],
    split: str,
    details: Mapping[str, Any],
) -> None:
    """`write_submission_file` of a dataset's frames.

    Args:
        path: where to write.
        dataset: the split's scans.
        predictions: index of a scan, and a class (n,) for each of its points.
        split: name of the split.
        details: fields of the submission, by the names in `DETAILS`.
    """
    frames = ((frame_of(dataset.names[i]), _return_images(dataset, i, classes)) for i, classes in predictions)
    write_submission_file(path, submission_info(details), frames)


def validate_submission(path: Path, dataset: WaymoSegmentation, split: str) -> list[str]:
    """`validate_submission_file` against a dataset, and the size of the dataset itself.

    Args:
        path: the submission.
        dataset: the split's scans.
        split: name of the split.
    """
    if split == "test":
        problems = size_problems(len(dataset), TEST_FRAMES, "give Waymo's list of test frames (--frames)")
    else:
        problems = size_problems(len(dataset.sequences), RELEASES["waymo"].sizes[split])
    return problems + validate_submission_file(path, {frame_of(name) for name in dataset.names})


def _return_images(dataset: WaymoSegmentation, index: int, classes: Int64[ndarray, " n"]) -> ReturnImages:
    """Classes of points put into the pixels of both returns, IGNORE in pixels without a point."""
    pixels = dataset.pixels(index)
    shape = dataset.image_shape(index)
    if tuple(shape) != SHAPE:
        raise DataError(f"{dataset.names[index]}: range image {shape}; the Waymo server accepts only {SHAPE}")
    images = np.full((2, *SHAPE), IGNORE, np.int64)
    images[pixels.return_index, pixels.row, pixels.column] = classes
    return images[0], images[1]


def write_submission_file(
    path: str | Path, info: SubmissionInfo, predictions: Iterable[tuple[Frame, ReturnImages]]
) -> None:
    """Write the submission; instance ids are 0.

    Frames are appended one by one, so the memory does not grow: protobuf reads a concatenation as one merged message.

    Args:
        path: where to write.
        info: the fields of `DETAILS`.
        predictions: a frame and the classes (64, 2650) of both returns; -1 (written as 0, undefined) at a pixel without
            a point.

    Raises:
        DataError: a wrong shape, a class out of range, or a frame given twice.

    Examples:
        >>> import tempfile
        >>> path, label = Path(tempfile.mkdtemp()) / "submission.bin", np.full(SHAPE, -1)
        >>> label[0, 0] = 17
        >>> info = SubmissionInfo("me@example.org", "ours", ("Me",))
        >>> write_submission_file(path, info, [(("segment", 1), (label, label))])
        >>> validate_submission_file(path, [("segment", 1)])
        []
    """
    m = messages()
    head = m.submission(
        account_name=info.account_name,
        unique_method_name=info.unique_method_name,
        authors=info.authors,
        affiliation=info.affiliation,
        description=info.description,
        method_link=info.method_link,
        sensor_type=SENSOR_TYPES[info.sensor_type],
        number_past_frames_exclude_current=0,  # the reader gives a network one frame
        number_future_frames_exclude_current=0,
    )
    written: set[Frame] = set()
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(head.SerializeToString(deterministic=True))
        for frame, returns in predictions:
            if frame in written:
                raise DataError(f"frame {frame_name(frame)} was given twice: each frame has one prediction")
            written.add(frame)
            part = m.submission()
            entry = part.inference_results.frames.add(context_name=frame[0], frame_timestamp_micros=frame[1])
            laser = entry.segmentation_labels.add(name=1)  # TOP
            for image, classes in zip((laser.ri_return1, laser.ri_return2), returns, strict=True):
                image.segmentation_label_compressed = _compressed(classes, frame)
            stream.write(part.SerializeToString(deterministic=True))


def validate_submission_file(path: str | Path, frames: Collection[Frame]) -> list[str]:
    """The reasons for which the server would reject the file; empty if there are none.

    Args:
        path: the submission.
        frames: the frames of the split (`read_frame_list`, or those of a dataset).

    Raises:
        DataError: ``path`` is not a submission.
    """
    path = Path(path)
    if not path.is_file():
        problem = "is a folder; a submission to Waymo is a file" if path.exists() else "does not exist"
        raise DataError(f"{path} {problem}: write it with `topokd submit`")
    from google.protobuf.message import DecodeError

    submission = messages().submission()
    try:
        submission.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise DataError(
            f"{path} is not a complete SemanticSegmentationSubmission ({error}): write it again with `topokd submit`"
        ) from None
    problems = [
        f"{name} is not set" for name in ("account_name", "unique_method_name") if not getattr(submission, name)
    ]
    if not submission.authors:
        problems.append("authors is empty")
    if submission.sensor_type == 0:
        problems.append("sensor_type is not set")
    seen: set[Frame] = set()
    for entry in submission.inference_results.frames:
        frame = (entry.context_name, entry.frame_timestamp_micros)
        if frame in seen:
            problems.append(f"frame {frame_name(frame)} occurs twice")
        seen.add(frame)
        problems += [f"frame {frame_name(frame)}: {problem}" for problem in _frame_problems(entry)]
    missing, superfluous = sorted(set(frames) - seen), sorted(seen - set(frames))
    if missing:
        problems.append(f"missing frames, {format_names(map(frame_name, missing))}")
    if superfluous:
        problems.append(f"frames that are not in the split, {format_names(map(frame_name, superfluous))}")
    return problems


def _compressed(classes: Int64[ndarray, "64 2650"], frame: Frame) -> bytes:
    classes = np.asarray(classes)
    if classes.shape != SHAPE or classes.dtype.kind not in "iu":
        raise DataError(
            f"frame {frame_name(frame)}: {classes.dtype} of shape {classes.shape}; give integer classes {SHAPE}"
        )
    wrong = classes[(classes < -1) | (classes >= WAYMO.num_classes)]
    if wrong.size:
        raise DataError(
            f"frame {frame_name(frame)} holds class {wrong[0]} at {wrong.size} pixels; known are "
            f"0..{WAYMO.num_classes - 1}, and -1 where there is no point"
        )
    ids = np.zeros((*SHAPE, 2), np.int32)  # instance id, semantic class
    ids[..., 1] = np.append(WAYMO.submission_ids, 0)[classes]
    matrix = messages().matrix(data=ids.reshape(-1).tolist())
    matrix.shape.dims.extend(ids.shape)
    return zlib.compress(matrix.SerializeToString(deterministic=True))


def _matrix(compressed: bytes) -> ndarray:
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(compressed, MOST_BYTES)
    if unpacker.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {MOST_BYTES:,} bytes")
    matrix: Any = messages().matrix.FromString(unpacked)
    dims = tuple(matrix.shape.dims)
    if any(size < 0 for size in dims):  # NumPy would replace it by the size that fits
        raise ValueError(f"its shape is {list(dims)}")
    return np.fromiter(matrix.data, np.int32, len(matrix.data)).reshape(dims)


def _frame_problems(entry: Any) -> list[str]:
    from google.protobuf.message import DecodeError

    if not entry.context_name or not entry.frame_timestamp_micros:
        return ["context_name or frame_timestamp_micros is not set"]
    if len(entry.segmentation_labels) != 1 or entry.segmentation_labels[0].name != 1:
        return [f"{len(entry.segmentation_labels)} lasers; exactly one, TOP, is expected"]
    problems = []
    for name in ("ri_return1", "ri_return2"):
        data = getattr(entry.segmentation_labels[0], name).segmentation_label_compressed
        if not data:
            problems.append(f"{name}.segmentation_label_compressed is missing")
            continue
        try:
            label = _matrix(data)
        except (zlib.error, DecodeError, ValueError) as error:
            problems.append(f"{name} is not a zlib-compressed MatrixInt32 ({error})")
            continue
        if label.shape != (*SHAPE, 2):
            problems.append(f"{name} has shape {list(label.shape)}, expected {[*SHAPE, 2]}")
        elif (wrong := label[..., 1][(label[..., 1] < 0) | (label[..., 1] > WAYMO.num_classes)]).size:
            problems.append(
                f"{name} holds class {wrong[0]} at {wrong.size} pixels; ids are 1..22, and 0 without a point"
            )
        elif not label[..., 1].any() and name == "ri_return1":
            problems.append(f"{name} is undefined everywhere")
    return problems
