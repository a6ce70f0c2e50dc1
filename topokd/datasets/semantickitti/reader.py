"""The SemanticKITTI data set."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from topokd.data.dataset import OnBadScan, ScanDataset, accumulate_sweeps, check_sweeps, count_points
from topokd.data.scan import Scan
from topokd.datasets.semantickitti.classes import SEMANTICKITTI
from topokd.datasets.semantickitti.files import COLUMNS, check_labels, read_poses, read_scan
from topokd.errors import DataError

log = logging.getLogger(__name__)

SPLITS: dict[str, tuple[int, ...]] = {
    "train": (0, 1, 2, 3, 4, 5, 6, 7, 9, 10),
    "val": (8,),
    "test": tuple(range(11, 22)),
}
"""Official sequences of each split."""


class SemanticKITTI(ScanDataset):
    """The scans of a split.

    A named split uses its existing sequences and logs the missing ones. The sizes of all files are
    checked at once.

    Args:
        root: the folder that holds ``sequences/``.
        split: "train", "val", "test" (no labels) or a tuple of sequence numbers.
        on_bad_scan: "raise" stops at the first bad scan; "skip" reads every scan once at the start, leaves the bad
            ones out, logs them and lists them in ``skipped`` as (name, reason); "keep" raises when one is read.
        cache: how many scans are kept in memory.
        sweeps: k > 1 adds the k - 1 scans before each one, moved into its frame by the poses, after its own points (the
            multi-scan task). Their labels are kept, but ignored in "val", where each point is to count once.

    Raises:
        DataError: no sequence of a split exists, or one of a tuple is missing; a damaged file.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from topokd.datasets.semantickitti.files import write_scan
        >>> root = tempfile.mkdtemp()
        >>> write_scan(root, 8, 0, Scan(np.ones((5, 3)), np.zeros(5), np.full(5, 8)))
        >>> dataset = SemanticKITTI(root, "val")
        >>> len(dataset), dataset[0].name, dataset.class_names[dataset[0].label[0]]
        (1, '08/000000', 'road')
    """

    recipe_fields = ("labelled", "sweeps", "split")
    columns = COLUMNS
    labels = SEMANTICKITTI
    class_names = SEMANTICKITTI.class_names
    num_classes = SEMANTICKITTI.num_classes
    palette = SEMANTICKITTI.palette

    def __init__(
        self,
        root: str | Path,
        split: str | Sequence[int] = "train",
        on_bad_scan: OnBadScan = "raise",
        cache: int = 128,
        sweeps: int = 1,
    ) -> None:
        self.root, self.split, self.sweeps = Path(root), split, check_sweeps(sweeps)
        self.labelled = split != "test"
        numbers = _find_sequences(self.root, split)
        self.sequences = [f"{number:02d}" for number in numbers]
        self._poses: dict[str, np.ndarray] = {}
        self._index(_scan_names(self.root, numbers), on_bad_scan, cache, f"sequences {_format_ids(numbers)}")

    def files(self, name: str) -> tuple[Path, Path | None]:
        """Paths of a scan's points and labels (None in the test split)."""
        sequence, frame = name.split("/")
        folder = self.root / "sequences" / sequence
        return folder / "velodyne" / f"{frame}.bin", folder / "labels" / f"{frame}.label" if self.labelled else None

    def source_files(self, name: str) -> list[Path]:
        """Files of a scan, of those before it that ``sweeps`` adds, and of their poses."""
        files = super().source_files(name)
        if self.sweeps > 1:
            folder = self.root / "sequences" / name.split("/")[0]
            files += [file for other in self._before(name) for file in self.files(other) if file is not None]
            files += [folder / "poses.txt", folder / "calib.txt"]
        return files

    def own_points(self, name: str) -> int:
        """Number of a scan's own points, without those that ``sweeps`` adds, from the size of its file."""
        return count_points(self.files(name)[0], self.columns)

    def pose(self, name: str) -> Float[np.ndarray, "4 4"]:
        """LiDAR pose of a scan, to the frame of the sequence's first, from ``poses.txt`` and ``calib.txt``.

        Raises:
            DataError: ``poses.txt`` has fewer lines than the sequence has scans.
        """
        sequence, frame = name.split("/")
        if sequence not in self._poses:
            self._poses[sequence] = read_poses(self.root / "sequences" / sequence)
        poses = self._poses[sequence]
        if int(frame) >= len(poses):
            raise DataError(
                f"{self.root / 'sequences' / sequence / 'poses.txt'} has {len(poses)} lines, scan {frame} needs line "
                f"{int(frame) + 1}: the file belongs to another sequence or is truncated; copy it again"
            )
        return poses[int(frame)]

    def _check(self, name: str) -> None:
        points, labels = self.files(name)
        count = count_points(points, self.columns)
        if labels is not None:
            check_labels(labels, count)

    def _read(self, name: str) -> Scan:
        scan = read_scan(*self.files(name), name)
        if self.sweeps == 1:
            return scan
        scans, moves = [scan], [np.eye(4)]
        here = np.linalg.inv(self.pose(name))
        for other in self._before(name):
            scans.append(read_scan(*self.files(other), other))
            moves.append(here @ self.pose(other))
        return accumulate_sweeps(scans, moves, name, labelled_rows="first" if self.split == "val" else "all")

    def _before(self, name: str) -> list[str]:
        """The scans that ``sweeps`` adds to one, the latest first."""
        sequence, frame = name.split("/")
        names = []
        for number in range(int(frame) - 1, max(int(frame) - self.sweeps, -1), -1):
            other = f"{sequence}/{number:06d}"
            if not self.files(other)[0].is_file():
                break  # a gap in a subset: earlier scans are of another place
            names.append(other)
        return names


def _find_sequences(root: Path, split: str | Sequence[int]) -> tuple[int, ...]:
    """Numbers of the sequences to read, out of the existing ones."""
    folder = root / "sequences"
    if not folder.is_dir():
        hint = (
            "its parent has one: did you mean that?"
            if root.name == "sequences"
            else "ROOT (data.root of a profile) is the folder above"
        )
        raise DataError(f"{folder} does not exist, so {root} is not in the layout of SemanticKITTI; {hint}")
    present = {int(path.name) for path in folder.iterdir() if path.name.isdigit() and (path / "velodyne").is_dir()}
    if isinstance(split, str) and split not in SPLITS:
        raise DataError(f"unknown split {split!r}: choose {', '.join(SPLITS)}, or a tuple of sequence numbers")
    wanted = SPLITS[split] if isinstance(split, str) else tuple(split)
    missing = tuple(number for number in wanted if number not in present)
    usable = tuple(number for number in wanted if number in present)
    if not usable or (missing and not isinstance(split, str)):
        raise DataError(
            f"{folder}: looked for sequence{'s' if len(missing) > 1 else ''} {_format_ids(missing)} of split "
            f"{split!r} with velodyne/*.bin in them; there are {_format_ids(sorted(present)) or 'none'}"
        )
    if missing:
        log.warning("%s: split %s lacks sequences %s; using %s", root, split, _format_ids(missing), _format_ids(usable))
    return usable


def _format_ids(sequences: Sequence[int]) -> str:
    return ", ".join(f"{number:02d}" for number in sequences)


def _scan_names(root: Path, sequences: Sequence[int]) -> list[str]:
    """ "SS/NNNNNN" of all scans in order. Files beginning with a dot are half-written and skipped."""
    names = []
    for number in sequences:
        files = sorted((root / "sequences" / f"{number:02d}" / "velodyne").glob("*.bin"))
        names += [f"{number:02d}/{file.stem}" for file in files if not file.name.startswith(".")]
    return names
