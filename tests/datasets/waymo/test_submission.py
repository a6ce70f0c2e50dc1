"""Written submissions to Waymo's server pass the validator; every kind of damage is named."""

import zlib

import numpy as np
import pytest

from tests.datasets.waymo_file import read_waymo
from topokd.datasets.waymo.frames import read_frame_list
from topokd.datasets.waymo.messages import messages
from topokd.datasets.waymo.submission import SHAPE, SubmissionInfo, validate_submission_file, write_submission_file
from topokd.errors import DataError

INFO = SubmissionInfo("me@example.org", "ours", ("Me",))
FRAMES = [("segment", 10), ("segment", 20)]


def waymo(path):
    rng = np.random.default_rng(0)
    images = [tuple(rng.integers(-1, 22, SHAPE) for _ in range(2)) for _ in FRAMES]
    write_submission_file(path, INFO, zip(FRAMES, images, strict=True))
    return images


def test_a_waymo_submission_is_read_back_and_has_the_published_wire_format(tmp_path):
    path = tmp_path / "s.bin"
    images = waymo(path)
    assert validate_submission_file(path, FRAMES) == []
    read = read_waymo(path)
    assert [frame for frame, _ in read] == FRAMES
    for (_, got), want in zip(read, images, strict=True):
        np.testing.assert_array_equal(got, want)
    data = path.read_bytes()
    assert data.startswith(b"\x0a\x0eme@example.org\x12\x04ours\x1a\x02Me")  # fields 1, 2, 3
    laser = messages().submission.FromString(data).inference_results.frames[0].segmentation_labels[0]
    wire = laser.SerializeToString()
    assert wire[:3] == b"\x08\x01\x12"  # name = TOP, then ri_return1
    matrix = zlib.decompress(laser.ri_return1.segmentation_label_compressed)
    assert matrix[0] == 0x0A and matrix.endswith(b"\x12\x07\x08\x40\x08\xda\x14\x08\x02")  # packed data, shape
    assert laser.ri_return1.SerializeToString()[0] == 6 << 3 | 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.inference_results.frames.pop(), "missing frames, 1: segment/20"),
        (lambda s: s.inference_results.frames.add().CopyFrom(s.inference_results.frames[0]), "occurs twice"),
        (lambda s: s.ClearField("account_name"), "account_name is not set"),
        (lambda s: s.ClearField("authors"), "authors is empty"),
        (lambda s: s.ClearField("sensor_type"), "sensor_type is not set"),
        (lambda s: s.inference_results.frames[0].segmentation_labels.add(name=2), "2 lasers"),
        (lambda s: s.inference_results.frames[0].segmentation_labels[0].ClearField("ri_return2"), "is missing"),
        (lambda s: label(s, b"nonsense"), "not a zlib-compressed"),
        (lambda s: label(s, matrix(np.ones((64, 2650, 1)))), "has shape [64, 2650, 1]"),
        (lambda s: label(s, matrix(np.full((64, 2650, 2), 23))), "holds class 23"),
        (lambda s: label(s, matrix(np.ones((64, 2650, 2)), (-1, 2650, 2))), "its shape is [-1, 2650, 2]"),
    ],
)
def test_each_problem_of_a_waymo_submission_is_named(tmp_path, change, message):
    path = tmp_path / "s.bin"
    waymo(path)
    submission = messages().submission.FromString(path.read_bytes())
    change(submission)
    path.write_bytes(submission.SerializeToString())
    problems = validate_submission_file(path, FRAMES)
    assert len(problems) == 1 and message in problems[0]


def label(submission, data):
    submission.inference_results.frames[0].segmentation_labels[0].ri_return1.segmentation_label_compressed = data


def matrix(values, dims=None):
    message = messages().matrix(data=values.astype(int).reshape(-1).tolist())
    message.shape.dims.extend(dims or values.shape)
    return zlib.compress(message.SerializeToString())


@pytest.mark.invalid_arguments
def test_invalid_waymo_submissions_and_frame_lists_raise(tmp_path):
    path = tmp_path / "s.bin"
    good = np.zeros(SHAPE, int)
    for images, message in (((good[:2], good), "shape"), ((good + 22, good), "class 22")):
        with pytest.raises(DataError, match=message):
            write_submission_file(path, INFO, [(FRAMES[0], images)])
    with pytest.raises(DataError, match="twice"):
        write_submission_file(path, INFO, [(FRAMES[0], (good, good))] * 2)
    with pytest.raises(DataError, match="e-mail"):
        SubmissionInfo("me", "ours", ("Me",))
    path.write_bytes(b"\xff\xff")
    with pytest.raises(DataError, match="not a complete SemanticSegmentationSubmission"):
        validate_submission_file(path, FRAMES)
    (tmp_path / "list.txt").write_text("segment,10\n\nsegment,x\n")
    with pytest.raises(DataError, match="line 3"):
        read_frame_list(tmp_path / "list.txt")
    for name in ("s.bin", "absent.txt", "."):
        with pytest.raises(DataError, match=r"cannot be read as a list of frames .*--frames"):
            read_frame_list(tmp_path / name)
