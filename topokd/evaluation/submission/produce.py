"""From a network and a benchmark's data to a submission, and the check of one against the data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray
from torch import nn

from topokd.data import IGNORE
from topokd.data.dataset import points_in
from topokd.datasets import NuScenesLidarSeg, SemanticKITTI, WaymoSegmentation
from topokd.datasets.label_spaces import LABEL_SPACES
from topokd.datasets.published import SPLIT_SIZES, WAYMO_TEST_FRAMES
from topokd.errors import DataError
from topokd.evaluation.predict import predict
from topokd.evaluation.submission.nuscenes import validate_nuscenes, write_nuscenes
from topokd.evaluation.submission.semantickitti import own_points, validate_semantickitti, write_semantickitti
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
    use_external: bool = False,
) -> None:
    """Predict every scan of ``dataset`` (:func:`submission_split`) and write the benchmark's file or folder.

    ``info`` is what Waymo's server asks for besides; ``use_external``: what nuScenes' asks, whether further data were
    trained with. Scans are predicted one by one as the writer takes them; points of earlier sweeps have no place in a
    submission.
    """

    def predicted() -> Iterator[tuple[int, Int64[ndarray, " n"]]]:
        for index in Progress(range(len(dataset)), "predicting"):
            classes = predict(model, dataset[index], voxel_size, tta)
            own = len(classes) if benchmark == "waymo" else _points(dataset, dataset.names[index])
            yield index, classes[:own]

    names = dataset.names
    if benchmark == "semantickitti":
        own_points(dataset.root)  # a missing sequence is said before hours of prediction
        write_semantickitti(output, ((names[i], classes) for i, classes in predicted()))
    elif benchmark == "nuscenes":
        write_nuscenes(output, ((names[i].split("/")[1], classes) for i, classes in predicted()), split, use_external)
    else:
        if info is None:
            raise DataError("Waymo's server asks who submits: give account, method and authors")
        write_waymo(output, info, ((_frame(names[i]), _images(dataset, i, classes)) for i, classes in predicted()))


def validate_submission(benchmark: str, path: str | Path, dataset: Any, split: str = "test") -> list[str]:
    """What the benchmark's server would reject in ``path``; empty when nothing.

    A submission that fits ``dataset`` is no better than that: its size is compared with what the server wants.
    """
    size = _size_problems(benchmark, dataset, split)
    if benchmark == "semantickitti":
        return size + validate_semantickitti(path, dataset.root)
    if benchmark == "nuscenes":
        points = {name.split("/")[1]: _points(dataset, name) for name in dataset.names}
        return size + validate_nuscenes(path, points, split)
    return size + validate_waymo(path, {_frame(name) for name in dataset.names})


def _size_problems(benchmark: str, dataset: Any, split: str) -> list[str]:
    """A problem where the data are not all that the server asks for, or more."""
    found = len(dataset)
    if benchmark == "waymo" and split == "test":
        wanted = WAYMO_TEST_FRAMES
    else:
        wanted = SPLIT_SIZES[dataset.version if benchmark == "nuscenes" else benchmark][split]
        found = len(dataset.parts) if benchmark == "waymo" else found  # published by segments
    if found == wanted.count:
        return []
    what = f"the data here are {'a subset' if found < wanted.count else 'too many'}: {found:,} of {wanted.count:,}"
    fix = "give Waymo's list of test frames (--frames)" if wanted is WAYMO_TEST_FRAMES else "copy the whole split"
    return [f"{what} {wanted.unit} that the server compares with; {fix}"]


def _points(dataset: Any, name: str) -> int:
    """A scan's own points, by the size of its file."""
    return points_in(dataset.files(name)[0], dataset.columns)


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
