"""Published split sizes of the Waymo Open Dataset, for checking a copy."""

from topokd.datasets.benchmark import Release, SplitSize

_CITATION = (
    "Sun et al., Waymo Open Dataset, CVPR 2020: 1,000 segments for training (798) and validation (202), 150 to test"
)

RELEASES = {
    "waymo": Release(
        {
            "train": SplitSize(798, "segments", _CITATION),
            "val": SplitSize(202, "segments", _CITATION),
            "test": SplitSize(150, "segments", _CITATION),
        }
    )
}
"""Counted in segments: Waymo labels some frames of each."""

TEST_FRAMES = SplitSize(
    2_982,
    "frames",
    "waymo-open-dataset, tutorial/3d_semseg_test_set_frames.txt: lines of the list of frames that the server takes",
)
