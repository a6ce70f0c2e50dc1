"""The scans of an adaptation: labelled for training, labelled and held out, and unlabelled."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from topokd.data import Scan
from topokd.data.dataset import ScanDataset
from topokd.data.formats import read_cloud
from topokd.errors import AbsentSplitError, DataError
from topokd.label_maps import LabelMap, open_mapped
from topokd.labelling import find_scans

log = logging.getLogger(__name__)


class Subset:
    """Some scans of a data set, in the given order.

    Args:
        dataset: the data set.
        names: names of the scans.
    """

    def __init__(self, dataset: ScanDataset, names: Sequence[str]) -> None:
        self.dataset, self.names = dataset, list(names)
        self.class_names, self.num_classes = dataset.class_names, dataset.num_classes
        position = {name: index for index, name in enumerate(dataset.names)}
        self._indices = [position[name] for name in self.names]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Scan:
        return self.dataset[self._indices[index]]

    def files(self, name: str) -> tuple[Path | None, ...]:
        """Paths that a scan is read from."""
        return self.dataset.files(name)


class FolderScans:
    """Files of any readable format as unlabelled scans; the last ones stay in memory.

    Args:
        files: the scans.
        reading: options of `topokd.data.formats.read_cloud`.
        cache: how many scans are kept in memory.
    """

    def __init__(self, files: Sequence[Path], reading: dict[str, Any], cache: int = 128) -> None:
        self._files, self.reading, self._size = {str(file): file for file in files}, reading, cache
        self.names = list(self._files)
        self._cache: OrderedDict[int, Scan] = OrderedDict()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Scan:
        if index not in self._cache:
            cloud = read_cloud(self._files[self.names[index]], log_notes=False, **self.reading)
            self._cache[index] = dataclasses.replace(cloud.scan, name=self.names[index])
            while len(self._cache) > self._size:
                self._cache.popitem(last=False)
        return self._cache[index]

    def files(self, name: str) -> tuple[Path]:
        """The file of a scan."""
        return (self._files[name],)


@dataclass(frozen=True)
class Collected:
    """The scans that an adaptation learns from and is scored on.

    Attributes:
        labelled: scans with labels, for training.
        held_out: scans with labels that no network is trained on.
        unlabelled: further scans, in one or two groups.
        rule: text on how the held-out scans were chosen.
    """

    labelled: Subset
    held_out: Subset
    unlabelled: tuple[Subset | FolderScans, ...]
    rule: str


def collect_scans(
    root: str | Path,
    label_map: LabelMap,
    folders: Sequence[str | Path] = (),
    *,
    hold_out: float = 0.25,
    intensity: bool = True,
) -> Collected:
    """Find the labelled, held-out and unlabelled scans of a data set.

    A scan of the split "train" without a label file is unlabelled. The labelled scans of the split "val" are held out.
    If there are none, the last ``hold_out`` of the labelled training scans (in the order of sequences and scans) are
    held out, so that few of them are close in time to the scans that are trained on.

    Args:
        root: folder of the data set.
        label_map: its description.
        folders: folders with further unlabelled scans, in any format that `read_cloud` reads with the map's options;
            held-out scans in them are left out.
        hold_out: share of the labelled training scans that is held out if there is no split "val".
        intensity: False sets all intensities to 0.

    Returns:
        The scans, and the rule by which some were held out.

    Raises:
        DataError: there are fewer than two labelled scans, a folder has no scans, or a file is damaged.

    Examples:
        >>> import tempfile
        >>> from topokd.label_maps import load_label_map
        >>> root, rng = Path(tempfile.mkdtemp()), np.random.default_rng(0)
        >>> (root / "yard.yaml").write_text('''
        ... name: Yard
        ... scans: points/{sequence}/{scan}.bin
        ... labels: labels/{sequence}/{scan}.label
        ... splits: {train: [mon], val: [tue]}
        ... classes:
        ... - {name: road, ids: [1], color: [128, 64, 128]}
        ... ''') > 0
        True
        >>> for name, labelled in {"mon/000": True, "mon/001": True, "mon/002": False, "tue/000": True}.items():
        ...     for folder in ("points", "labels"):
        ...         (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
        ...     rng.uniform(0, 1, (50, 4)).astype("<f4").tofile(root / "points" / f"{name}.bin")
        ...     if labelled:
        ...         np.ones(50, "<u4").tofile(root / "labels" / f"{name}.label")
        >>> scans = collect_scans(root, load_label_map(root / "yard.yaml"))
        >>> len(scans.labelled), len(scans.held_out), len(scans.unlabelled[0]), scans.rule
        (2, 1, 1, 'the split val')
    """
    root = Path(root)
    if not 0 < hold_out < 1:
        raise DataError(
            f"hold-out is {hold_out}; it is a share of the labelled scans, above 0 and below 1 (--hold-out)"
        )
    train = open_mapped(root, label_map, "train", on_bad_scan="keep")
    train.intensity = intensity
    labelled = [name for name in train.names if _has_labels(train, name)]
    bare = open_mapped(root, label_map, "train", on_bad_scan="keep")
    bare.labelled, bare.intensity = False, intensity
    with_labels = set(labelled)
    unlabelled: list[Subset | FolderScans] = []
    if names := [name for name in bare.names if name not in with_labels]:
        unlabelled.append(Subset(bare, names))
    held_out = _validation(root, label_map, intensity)
    rule = "the split val"
    if held_out is None:
        if len(labelled) < 2:
            raise DataError(
                f"{root} has {len(labelled)} labelled scans of {label_map.name} (split train) and no split val: label "
                "at least two scans, one to learn from and one to be scored on"
            )
        last = min(len(labelled) - 1, max(1, round(hold_out * len(labelled))))
        held_out, labelled = Subset(train, labelled[-last:]), labelled[:-last]
        rule = f"the last {last} labelled scans"
    if not labelled:
        raise DataError(
            f"{root} has no labelled scan of {label_map.name} in the split train: labels are expected at "
            f"{label_map.labels or 'the files that lidarseg.json names'}"
        )
    reading = label_map.reading() | ({} if intensity else {"intensity": "none"})
    reading["usual_scale"] = getattr(train, "intensity_scale", None)  # as in the labelled scans
    unlabelled += [FolderScans(_unseen(Path(folder), held_out), reading) for folder in folders]
    collected = Collected(Subset(train, labelled), held_out, tuple(unlabelled), rule)
    scored = set(held_out.names)
    if both := [
        name for name in (*labelled, *(name for group in unlabelled[:1] for name in group.names)) if name in scored
    ]:
        raise DataError(
            f"the scan {both[0]} is in the splits train and val of {label_map.name}, so a score on val would mean "
            "nothing: put each scan into one of them"
        )
    _check(collected)
    return collected


def _unseen(folder: Path, held_out: Subset) -> list[Path]:
    """The scans of a folder, without those that are held out: the student would learn from what it is scored on."""
    files, remarks = find_scans(folder)
    for remark in remarks:
        log.info("%s: %s", folder, remark)
    scored = {os.path.realpath(file) for name in held_out.names if (file := held_out.files(name)[0]) is not None}
    unseen = [file for file in files if os.path.realpath(file) not in scored]
    if len(unseen) < len(files):
        log.warning("%s: %d of its scans are held out for the score and left out", folder, len(files) - len(unseen))
    return unseen


def _has_labels(dataset: ScanDataset, name: str) -> bool:
    try:
        labels = dataset.files(name)[1]
    except DataError:  # nuScenes' layout: the tables list no labels for this scan
        return False
    return labels is not None and labels.is_file()


def _validation(root: Path, label_map: LabelMap, intensity: bool) -> Subset | None:
    """The labelled scans of the split "val"; None if there are none."""
    if "val" not in label_map.split_names:
        return None
    try:
        val = open_mapped(root, label_map, "val", on_bad_scan="keep")
    except AbsentSplitError:
        return None
    val.intensity = intensity
    names = [name for name in val.names if _has_labels(val, name)]
    return Subset(val, names) if names else None


def _check(collected: Collected) -> None:
    """Read every labelled scan once: they are few, and a damaged one should not stop a training halfway."""
    for what, scans in (("training", collected.labelled), ("held-out", collected.held_out)):
        if not any(np.any(scan.label >= 0) for index in range(len(scans)) if (scan := scans[index]).label is not None):
            raise DataError(
                f"none of the {len(scans)} labelled {what} scans has a point with a class: the label map ignores "
                "every id in them, or they are of another data set"
            )
