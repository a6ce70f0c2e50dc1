"""How Waymo's server names a frame, and its list of the test frames."""

from __future__ import annotations

import re
from pathlib import Path

from topokd.errors import DataError

Frame = tuple[str, int]
"""(context name, timestamp in microseconds)"""


def frame_of(name: str) -> Frame:
    """The frame of one of the dataset's scans.

    >>> frame_of("segment-1/1500000")
    ('segment-1', 1500000)
    """
    segment, _, time = name.rpartition("/")
    return segment, int(time)


def frame_name(frame: Frame) -> str:
    """The inverse of `frame_of`, for messages."""
    return f"{frame[0]}/{frame[1]}"


def read_frame_list(path: str | Path) -> list[Frame]:
    """Frames of the Waymo list of test frames: one ``context name,timestamp`` per line.

    Raises:
        DataError: the file cannot be read, is not text, or has a line of another form.
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
        if not re.fullmatch(r"[0-9]{1,18}", timestamp.strip()):
            raise DataError(f"{path}, line {number}: {line[:60]!r}; write context name,timestamp in microseconds")
        frames.append((context, int(timestamp)))
    if not frames:
        raise DataError(f"{path} lists no frame: give Waymo's 3d_semseg_test_set_frames.txt (--frames)")
    return frames
