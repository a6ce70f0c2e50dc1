"""Waymo Open's protobuf: per frame one TOP laser, both returns as compressed [64, 2650, 2] matrices, ids 1..22."""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from topokd.datasets.waymo.classes import WAYMO
from topokd.errors import DataError
from topokd.evaluation.submission.ids import listed
from topokd.evaluation.submission.waymo_messages import SENSOR_TYPES, messages
from topokd.io import atomic_path

SHAPE = (64, 2650)
"""Rows and columns of the TOP lidar's range image."""

Frame = tuple[str, int]
"""(context name, timestamp in microseconds)"""
Returns = tuple[Int64[ndarray, "64 2650"], Int64[ndarray, "64 2650"]]


@dataclass(frozen=True)
class SubmissionInfo:
    """What the server asks for beside the labels."""

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


def write_waymo(path: str | Path, info: SubmissionInfo, predictions: Iterable[tuple[Frame, Returns]]) -> None:
    """Write the submission. ``predictions`` yields a frame and the classes of both returns' pixels, frame by frame.

    A pixel without a point holds -1 (written 0, undefined); instance ids are 0. Frames are appended one by one, so the
    memory does not grow: protobuf reads a concatenation as one merged message. Raises :class:`DataError` for a wrong
    shape, a class out of range, or a frame given twice.

    >>> import tempfile
    >>> path, label = Path(tempfile.mkdtemp()) / "submission.bin", np.full(SHAPE, -1)
    >>> label[0, 0] = 17
    >>> info = SubmissionInfo("me@example.org", "ours", ("Me",))
    >>> write_waymo(path, info, [(("segment", 1), (label, label))])
    >>> validate_waymo(path, [("segment", 1)])
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
                raise DataError(f"frame {_named(frame)} was given twice: each frame has one prediction")
            written.add(frame)
            part = m.submission()
            entry = part.inference_results.frames.add(context_name=frame[0], frame_timestamp_micros=frame[1])
            laser = entry.segmentation_labels.add(name=1)  # TOP
            for image, classes in zip((laser.ri_return1, laser.ri_return2), returns, strict=True):
                image.segmentation_label_compressed = _compressed(classes, frame)
            stream.write(part.SerializeToString(deterministic=True))


def read_frame_list(path: str | Path) -> list[Frame]:
    """Frames of Waymo's list of test frames: one ``context name,timestamp`` a line.

    Raises :class:`DataError` for a file that cannot be read, is no text, or has another line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"{path} cannot be read as a list of frames ({reason}): give Waymo's 3d_semseg_test_set_frames.txt "
            "(--frames)"
        ) from None
    frames = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        context, _, timestamp = line.strip().partition(",")
        if not timestamp.strip().isdigit():
            raise DataError(f"{path}, line {number}: {line[:60]!r}; write context name,timestamp in microseconds")
        frames.append((context, int(timestamp)))
    return frames


def validate_waymo(path: str | Path, frames: Collection[Frame]) -> list[str]:
    """What the server would reject; ``frames``: the frames of the split (:func:`read_frame_list`, or a dataset's)."""
    path = Path(path)
    if not path.is_file():
        what = "is a folder; Waymo's submission is a file" if path.exists() else "does not exist"
        raise DataError(f"{path} {what}: write it with `topokd submit`")
    from google.protobuf.message import DecodeError

    submission = messages().submission()
    try:
        submission.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise DataError(
            f"{path} is no SemanticSegmentationSubmission, or is cut short ({error}): write it anew"
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
            problems.append(f"frame {_named(frame)} is there twice")
        seen.add(frame)
        problems += [f"frame {_named(frame)}: {problem}" for problem in _frame_problems(entry)]
    missing, superfluous = sorted(set(frames) - seen), sorted(seen - set(frames))
    if missing:
        problems.append(f"missing frames, {listed(map(_named, missing))}")
    if superfluous:
        problems.append(f"frames that are not in the split, {listed(map(_named, superfluous))}")
    return problems


def _compressed(classes: Int64[ndarray, "64 2650"], frame: Frame) -> bytes:
    classes = np.asarray(classes)
    if classes.shape != SHAPE or classes.dtype.kind not in "iu":
        raise DataError(
            f"frame {_named(frame)}: {classes.dtype} of shape {classes.shape}; give integer classes {SHAPE}"
        )
    wrong = classes[(classes < -1) | (classes >= WAYMO.num_classes)]
    if wrong.size:
        raise DataError(
            f"frame {_named(frame)} holds class {wrong[0]} at {wrong.size} pixels; known are "
            f"0..{WAYMO.num_classes - 1}, and -1 where there is no point"
        )
    ids = np.zeros((*SHAPE, 2), np.int32)  # instance id, semantic class
    ids[..., 1] = np.append(WAYMO.submission_ids, 0)[classes]
    matrix = messages().matrix(data=ids.reshape(-1).tolist())
    matrix.shape.dims.extend(ids.shape)
    return zlib.compress(matrix.SerializeToString(deterministic=True))


def _matrix(compressed: bytes) -> ndarray:
    matrix: Any = messages().matrix.FromString(zlib.decompress(compressed))
    dims = tuple(matrix.shape.dims)
    if any(size < 0 for size in dims):  # NumPy would put in what fits
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
            problems.append(f"{name} is no zlib-compressed MatrixInt32 ({error})")
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


def _named(frame: Frame) -> str:
    return f"{frame[0]}/{frame[1]}"
