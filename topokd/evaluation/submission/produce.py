"""From a network and a benchmark's data to a submission, and the check of one against the data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray
from torch import nn

from topokd.data import IGNORE, NuScenesLidarSeg, SemanticKITTI, WaymoSegmentation
from topokd.data.labels import LABEL_SPACES
from topokd.errors import DataError
from topokd.evaluation.predict import predict
from topokd.evaluation.submission.nuscenes import validate_nuscenes, write_nuscenes
from topokd.evaluation.submission.semantickitti import validate_semantickitti, write_semantickitti
from topokd.evaluation.submission.waymo import (
    SHAPE,
    Frame,
    Returns,
    SubmissionInfo,
    read_frame_list,
    validate_waymo,
    write_waymo,
)
from topokd.progress import Progress

POINT_BYTES = {"semantickitti": 16, "nuscenes": 20}


def benchmark_split(
    benchmark: str,
    root: str | Path,
    split: str,
    frames: Path | None = None,
    sweeps: int = 1,
    version: str | None = None,
) -> Any:
    """The scans of a benchmark's split. ``frames``: Waymo's list of test frames; None takes every frame of the split.

    ``sweeps``: how many scans the network sees at once (SemanticKITTI, nuScenes); ``version``: nuScenes', None for
    v1.0-test where the split is "test" and else v1.0-trainval.
    """
    if benchmark == "semantickitti":
        return SemanticKITTI(root, split, cache=1, sweeps=sweeps)
    if benchmark == "nuscenes":
        return NuScenesLidarSeg(
            root, split, version or ("v1.0-test" if split == "test" else "v1.0-trainval"), sweeps, cache=1
        )
    if benchmark == "waymo":
        return WaymoSegmentation(root, split, frames=read_frame_list(frames) if frames else None, cache=1)
    raise DataError(f"benchmark {benchmark!r} is unknown; choose one of {', '.join(LABEL_SPACES)}")


def submission_split(
    benchmark: str, root: str | Path, split: str = "test", frames: Path | None = None, sweeps: int = 1
) -> Any:
    """The scans that a submission covers: :func:`benchmark_split`, where the benchmark has a server for it.

    SemanticKITTI has a test server alone; the others take val too.
    """
    if benchmark == "semantickitti" and split != "test":
        raise DataError(
            f"split is {split!r}; SemanticKITTI's server takes the test split alone: `topokd evaluate` counts val"
        )
    return benchmark_split(benchmark, root, split, frames, sweeps)


def write_submission(
    benchmark: str,
    model: nn.Module,
    dataset: Any,
    voxel_size: float,
    output: str | Path,
    tta: int = 1,
    split: str = "test",
    info: SubmissionInfo | None = None,
) -> None:
    """Predict every scan of ``dataset`` (:func:`submission_split`) and write the benchmark's file or folder.

    ``info`` is what Waymo's server asks for besides. Scans are predicted one by one as the writer takes them; points
    of earlier sweeps have no place in a submission.
    """

    def predicted() -> Iterator[tuple[int, Int64[ndarray, " n"]]]:
        for index in Progress(range(len(dataset)), "predicting"):
            classes = predict(model, dataset[index], voxel_size, tta)
            own = _points(benchmark, dataset, dataset.names[index]) if benchmark in POINT_BYTES else len(classes)
            yield index, classes[:own]

    names = dataset.names
    if benchmark == "semantickitti":
        write_semantickitti(output, ((names[i], classes) for i, classes in predicted()))
    elif benchmark == "nuscenes":
        write_nuscenes(output, ((names[i].split("/")[1], classes) for i, classes in predicted()), split)
    else:
        if info is None:
            raise DataError("Waymo's server asks who submits: give account, method and authors")
        write_waymo(output, info, ((_frame(names[i]), _images(dataset, i, classes)) for i, classes in predicted()))


def validate_submission(benchmark: str, path: str | Path, dataset: Any, split: str = "test") -> list[str]:
    """What the benchmark's server would reject in ``path``; empty when nothing."""
    if benchmark == "semantickitti":
        return validate_semantickitti(path, dataset.root)
    if benchmark == "nuscenes":
        points = {name.split("/")[1]: _points(benchmark, dataset, name) for name in dataset.names}
        return validate_nuscenes(path, points, split)
    return validate_waymo(path, {_frame(name) for name in dataset.names})


def _points(benchmark: str, dataset: Any, name: str) -> int:
    """A scan's own points, by the size of its file."""
    return dataset.files(name)[0].stat().st_size // POINT_BYTES[benchmark]


def _frame(name: str) -> Frame:
    segment, _, time = name.rpartition("/")
    return segment, int(time)


def _images(dataset: WaymoSegmentation, index: int, classes: Int64[ndarray, " n"]) -> Returns:
    """Classes of points put into the pixels of both returns, IGNORE where there is none."""
    pixels = dataset.pixels(index)
    shape = dataset.image_shape(index)
    if tuple(shape) != SHAPE:
        raise DataError(f"{dataset.names[index]}: range image {shape}; Waymo's server takes {SHAPE}")
    images = np.full((2, *SHAPE), IGNORE, np.int64)
    images[pixels.echo, pixels.row, pixels.column] = classes
    return images[0], images[1]
