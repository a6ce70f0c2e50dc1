"""Reader of Waymo submission files, written from their description only."""

import zlib
from pathlib import Path

import numpy as np

from topokd.datasets.waymo.messages import messages


def read_waymo(path: Path) -> list[tuple[tuple[str, int], tuple[np.ndarray, np.ndarray]]]:
    """(segment, timestamp) and the classes of both returns, -1 where undefined, of every frame."""
    submission = messages().submission.FromString(path.read_bytes())
    return [
        (
            (entry.context_name, entry.frame_timestamp_micros),
            tuple(classes(getattr(entry.segmentation_labels[0], name)) for name in ("ri_return1", "ri_return2")),
        )
        for entry in submission.inference_results.frames
    ]


def classes(image) -> np.ndarray:
    message = messages().matrix.FromString(zlib.decompress(image.segmentation_label_compressed))
    return np.array(message.data).reshape(list(message.shape.dims))[..., 1] - 1
