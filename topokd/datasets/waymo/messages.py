"""The protobuf messages of a Waymo 3D semantic segmentation submission, described in code.

Field names and numbers are those of waymo-open-dataset's `dataset.proto`, `segmentation_metrics.proto` and
`segmentation_submission.proto` (proto2, package waymo.open_dataset), as far as a submission uses them.

Generated code would be shorter to write, but it registers in the default protobuf pool, where it collides with an
installed waymo-open-dataset, and it fails with any protobuf older than the generator. These messages live in a separate
pool and work with every protobuf.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from topokd.errors import DataError

INT32, INT64, STRING, BYTES, ENUM, MESSAGE = 5, 3, 9, 12, 14, 11  # FieldDescriptorProto.Type
OPTIONAL, REPEATED = 1, 3
PACKAGE = "waymo.open_dataset"

_LASERS = {"UNKNOWN": 0, "TOP": 1, "FRONT": 2, "SIDE_LEFT": 3, "SIDE_RIGHT": 4, "REAR": 5}
_SENSORS = {"INVALID": 0, "LIDAR_ALL": 1, "LIDAR_TOP": 2, "CAMERA_ALL": 3, "CAMERA_LIDAR_TOP": 4, "CAMERA_LIDAR_ALL": 5}
SENSOR_TYPES = {name: number for name, number in _SENSORS.items() if number}

_MESSAGES: dict[str, dict[str, tuple[Any, ...]]] = {  # field: (number, type, label, type name)
    "MatrixShape": {"dims": (1, INT32, REPEATED)},
    "MatrixInt32": {"data": (1, INT32, REPEATED), "shape": (2, MESSAGE, OPTIONAL, "MatrixShape")},
    "LaserName": {},
    "RangeImage": {"segmentation_label_compressed": (6, BYTES, OPTIONAL)},
    "Laser": {
        "name": (1, ENUM, OPTIONAL, "LaserName.Name"),
        "ri_return1": (2, MESSAGE, OPTIONAL, "RangeImage"),
        "ri_return2": (3, MESSAGE, OPTIONAL, "RangeImage"),
    },
    "SegmentationFrame": {
        "segmentation_labels": (1, MESSAGE, REPEATED, "Laser"),
        "context_name": (2, STRING, OPTIONAL),
        "frame_timestamp_micros": (3, INT64, OPTIONAL),
    },
    "SegmentationFrameList": {"frames": (1, MESSAGE, REPEATED, "SegmentationFrame")},
    "SemanticSegmentationSubmission": {
        "account_name": (1, STRING, OPTIONAL),
        "unique_method_name": (2, STRING, OPTIONAL),
        "authors": (3, STRING, REPEATED),
        "affiliation": (4, STRING, OPTIONAL),
        "description": (5, STRING, OPTIONAL),
        "method_link": (6, STRING, OPTIONAL),
        "sensor_type": (7, ENUM, OPTIONAL, "SemanticSegmentationSubmission.SensorType"),
        "number_past_frames_exclude_current": (8, INT32, OPTIONAL),
        "number_future_frames_exclude_current": (9, INT32, OPTIONAL),
        "inference_results": (10, MESSAGE, OPTIONAL, "SegmentationFrameList"),
    },
}
_ENUMS = {"LaserName": ("Name", _LASERS), "SemanticSegmentationSubmission": ("SensorType", _SENSORS)}


class Messages(NamedTuple):
    """The message classes that writers and readers need."""

    matrix: Any
    submission: Any


@functools.cache
def messages() -> Messages:
    """The message classes.

    Raises:
        DataError: protobuf is not installed.
    """
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError:
        raise DataError("Waymo submissions need the package protobuf: pip install 'topokd[data]'") from None
    file = descriptor_pb2.FileDescriptorProto(name="topokd/waymo_submission.proto", package=PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if name in _ENUMS:
            enum, values = _ENUMS[name]
            kind = message.enum_type.add(name=enum)
            for label, number in values.items():
                kind.value.add(name=label, number=number)
        for field, (number, type_, label, *of) in fields.items():
            added = message.field.add(name=field, number=number, type=type_, label=label)
            if of:
                added.type_name = f".{PACKAGE}.{of[0]}"
            if name == "MatrixInt32" and field == "data":
                added.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file) if not hasattr(pool, "AddSerializedFile") else pool.AddSerializedFile(file.SerializeToString())
    classes = [
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in ("MatrixInt32", "SemanticSegmentationSubmission")
    ]
    return Messages(*classes)
