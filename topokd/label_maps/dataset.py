"""Reader of a data set that a label map describes."""

from __future__ import annotations

import glob
import logging
import re
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np

from topokd.data.dataset import OnBadScan, ScanDataset
from topokd.data.formats import Note, common_scale, read_cloud
from topokd.data.formats.intensity import UNLIKE
from topokd.data.label_files import check_label_count, ids_and_objects
from topokd.data.scan import Scan
from topokd.datasets.check import require_root
from topokd.errors import AbsentSplitError, DataError
from topokd.label_maps.description import FIELDS, LabelMap
from topokd.label_maps.nuscenes import MappedNuScenes

log = logging.getLogger(__name__)

SAMPLE_OF_MAPS = 64
"""Scans that the scale of intensities is guessed from; training rests on it, and a tenth of unlike ones is found."""

_LOOKED_AT = 100_000
"""Files among which scans are searched that are not where the label map says."""


class MappedDataset(ScanDataset):
    """The scans of one split of a data set that a `LabelMap` describes.

    Args:
        root: folder of the data set.
        label_map: its description.
        split: one of its splits.
        on_bad_scan: "raise", "skip" or "keep", as for other readers.
        cache: how many scans are kept in memory.

    Raises:
        AbsentSplitError: the folder has no scans of this split.
        DataError: a damaged file, or an id that the map does not have.

    Examples:
        >>> import tempfile
        >>> from topokd.label_maps import load_label_map
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / "yard.yaml").write_text('''
        ... name: Yard
        ... scans: points/{scan}.bin
        ... labels: points/{scan}.label
        ... splits: {train: train.txt}
        ... classes:
        ... - {name: road, ids: [1], color: [128, 64, 128]}
        ... - {name: car, ids: [5], color: [100, 150, 245]}
        ... ''') > 0
        True
        >>> (root / "points").mkdir()
        >>> np.ones((4, 4), "<f4").tofile(root / "points" / "000.bin")
        >>> np.array([1, 5, 5, 0], "<u4").tofile(root / "points" / "000.label")
        >>> (root / "train.txt").write_text("000")
        3
        >>> dataset = MappedDataset(root, load_label_map(root / "yard.yaml"), "train")
        >>> dataset.class_names, dataset[0].label.tolist()
        (('road', 'car'), [0, 1, 1, -1])
    """

    recipe_fields = ("labelled", "description", "intensity_scale")

    def __init__(
        self, root: str | Path, label_map: LabelMap, split: str, on_bad_scan: OnBadScan = "raise", cache: int = 128
    ) -> None:
        self.root, self.label_map, self.split = Path(root), label_map, split
        require_root(self.root, f"name the folder of {label_map.name}")
        self.description = label_map.model_dump_json()
        self.labels = label_map.space(self.root)  # type: ignore[misc]
        self.class_names, self.palette = self.labels.class_names, self.labels.palette  # type: ignore[misc]
        self.num_classes = self.labels.num_classes  # type: ignore[misc]
        self.noted: dict[str, tuple[Note, dict[str, None]]] = {}  # by kind: the first note, the names of the scans
        self.absent: list[str] = []  # scans that the list of the split names and the folder lacks
        self.labels_may_lack = False  # whether scans without a file of labels are read, without labels
        self._fields = self._find()
        if not self._fields:
            listed = f" that {wanted} names" if isinstance(wanted := label_map.splits.get(split), str) else ""
            raise AbsentSplitError(
                f"{self.root} has no scans of split {split!r}, expected at {label_map.scans}{listed}"
                f"{self._unlike_list() if listed and self._all else self._likely_cause()}"
            )
        self.labelled = any(self._path(label_map.labels, name).is_file() for name in self._fields)
        self.sequences = sorted({fields.get("sequence", "") for fields in self._fields.values()})
        self._index(self._fields, on_bad_scan, cache, f"split {split}")

    def _files(self, template: str) -> Iterator[tuple[Path, dict[str, str]]]:
        """The files at a path with fields, and the values of the fields; hidden ones are left out."""
        for path in sorted(self.root.glob(_glob(template))):
            match = _pattern(template).fullmatch(path.relative_to(self.root).as_posix())
            fields = match.groupdict() if match is not None else {}
            if match is not None and not any(value.startswith(".") for value in (path.name, *fields.values())):
                yield path, fields

    def _find(self) -> dict[str, dict[str, str]]:
        """The scans of the split: name to the fields of their paths."""
        wanted = self.label_map.splits.get(self.split)
        if wanted is None and self.label_map.splits:
            raise DataError(
                f"{self.label_map.name} has no split {self.split!r}; it has {', '.join(self.label_map.splits)}"
            )
        listed = _read_list(self.root / wanted) if isinstance(wanted, str) else None
        scans, found = {}, set[str]()
        self._all: list[Path] = []  # scans of any split
        for path, fields in self._files(self.label_map.scans):
            self._all.append(path)
            if not self._of_split(fields):
                continue
            if listed is not None:
                relative = path.relative_to(self.root).as_posix()
                names = listed & {relative, fields["scan"], path.name, fields["scan"].lstrip("0") or "0"}
                found |= names
                if not names:
                    continue
            scans[_name(fields)] = fields
        self.absent = sorted((listed or set()) - found)
        return scans

    def _of_split(self, fields: dict[str, str]) -> bool:
        """Whether a scan with these fields is in a folder of the split."""
        sequences = self.label_map.splits.get(self.split)
        return fields.get("split", self.split) == self.split and (
            not isinstance(sequences, tuple) or fields.get("sequence") in sequences
        )

    def labels_without_scans(self) -> list[Path]:
        """Files of labels in the folders of the split whose scan is missing."""
        known = {_name(fields) for _, fields in self._files(self.label_map.scans)}
        labels = self._files(self.label_map.labels)
        return [path for path, fields in labels if self._of_split(fields) and _name(fields) not in known]

    def _likely_cause(self) -> str:
        """Where the scans seem to be instead: in a folder below, or under names in another case."""
        pattern, known = re.compile(_pattern(self.label_map.scans).pattern, re.IGNORECASE), set(self._all)
        for path in islice(self.root.rglob("*"), _LOOKED_AT):
            relative = path.relative_to(self.root)
            if pattern.fullmatch(relative.as_posix()) and path not in known:
                return f": {relative.as_posix()} differs in capital and small letters, rename it and the others"
            if len(relative.parts) > 1 and pattern.fullmatch(Path(*relative.parts[1:]).as_posix()):
                return f": did you mean {self.root / relative.parts[0]}?"
        return ""

    def _unlike_list(self) -> str:
        """How the names of a list differ from those of the scans."""
        first = self._all[0].relative_to(self.root).as_posix()
        named = f"it begins with {self.absent[0][:200]!r}" if self.absent else "it is empty"
        return f": {named}, and the first scan here is {first!r}; give one such path, or the name of a scan, a line"

    def _path(self, template: str, name: str) -> Path:
        return self.root / template.format(**self._fields[name])

    def files(self, name: str) -> tuple[Path, Path | None]:
        """Paths of a scan's points and labels (None without ground truth)."""
        return self._path(self.label_map.scans, name), self._path(
            self.label_map.labels, name
        ) if self.labelled else None

    def unlabelled(self) -> list[str]:
        """The scans without a file of labels, if others have one."""
        return [name for name in self.names if self.labelled and not self._path(self.label_map.labels, name).is_file()]

    def source_files(self, name: str) -> list[Path]:
        """Files of a scan, and the table of classes if the map names one."""
        table = self.label_map.class_table
        return super().source_files(name) + ([self.root / table] if table else [])

    def _check(self, name: str) -> None:
        for file in self.source_files(name):
            if not file.is_file() or file.stat().st_size == 0:
                raise DataError(
                    f"{file} does not exist or is empty: copy it again, or set data.on_bad_scan of a profile to skip"
                )

    @cached_property
    def intensity_scale(self) -> float | None:
        """Full scale of intensities, the same in all splits, if neither the label map nor the files' form gives it.

        It is guessed from a sample of the scans (`common_scale`); what happens to a scan that does not fit it is in
        `topokd.data.formats.intensity`.
        """
        return common_scale(self._all, SAMPLE_OF_MAPS, **self.label_map.reading())

    def _read(self, name: str) -> Scan:
        points, labels = self.files(name)
        cloud = read_cloud(
            points,
            usual_scale=self.intensity_scale,
            origin=(0.0, 0.0, 0.0),
            log_notes=False,
            **self.label_map.reading(),
        )
        for note in cloud.notes:
            self._note(name, note)
        label = instance = None
        if labels is not None and (labels.is_file() or not self.labels_may_lack):
            ids, objects = ids_and_objects(self._read_labels(labels, len(cloud.xyz)), labels)
            label, instance = self.labels.class_of_raw(ids[cloud.finite], labels), objects[cloud.finite]
        return Scan(cloud.scan.xyz, cloud.scan.intensity, label, instance, name)

    def _note(self, name: str, note: Note) -> None:
        """Keep what was assumed about a scan; warn, once, of intensities that do not fit the scale that was guessed."""
        _, names = self.noted.setdefault(note.kind, (note, {}))
        names[name] = None
        if note.kind == UNLIKE and len(names) == 1:
            log.warning(
                "%s: %s; the label map %s gives no intensity_scale: add it (other such scans are not reported)",
                *(name, note, self.label_map.name),
            )

    def _read_labels(self, file: Path, points: int) -> np.ndarray:
        if not file.is_file():
            raise DataError(f"{file} does not exist: other scans of this split have labels; copy it again")
        dtype = np.dtype(self.label_map.label_dtype)
        remedy = "they do not belong together, or the label map gives other columns than the scans have"
        check_label_count(file, points, dtype, remedy)
        return np.fromfile(file, dtype.newbyteorder("<"))


def _name(fields: dict[str, str]) -> str:
    return "/".join(fields[name] for name in FIELDS if name in fields)


def _pattern(template: str) -> re.Pattern[str]:
    text, known = "", set[str]()
    for k, part in enumerate(re.split(r"\{(\w+)\}", template)):
        text += re.escape(part) if k % 2 == 0 else f"(?P={part})" if part in known else f"(?P<{part}>[^/]+)"
        known |= {part} if k % 2 else set()
    return re.compile(text)


def _glob(template: str) -> str:
    return "*".join(glob.escape(part) for part in re.split(r"\{\w+\}", template))


def _read_list(file: Path) -> set[str]:
    """The scans that a list names, one a line: a path or a name, perhaps followed by other columns."""
    if not file.is_file():
        raise AbsentSplitError(f"{file} does not exist: it lists the scans of this split; copy it")
    text = file.read_text(encoding="utf-8-sig", errors="replace").replace("\\", "/")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {line.split()[0].rstrip(",;").removeprefix("./") or line for line in lines}


def open_mapped(
    root: str | Path, label_map: LabelMap, split: str, on_bad_scan: OnBadScan = "raise", cache: int = 128
) -> ScanDataset:
    """The scans of one split of a data set that a label map describes, in whichever layout.

    Args:
        root: folder of the data set.
        label_map: its description.
        split: one of its splits.
        on_bad_scan: "raise", "skip" or "keep", as for other readers.
        cache: how many scans are kept in memory.

    Returns:
        The dataset; its scans are read when they are indexed.

    Raises:
        AbsentSplitError: the folder has no scans of this split.
        DataError: a damaged file, or an id that the map does not have.

    Examples:
        >>> import tempfile
        >>> from topokd.label_maps import load_label_map
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / "yard.yaml").write_text('''
        ... name: Yard
        ... scans: points/{scan}.bin
        ... labels: points/{scan}.label
        ... splits: {train: train.txt}
        ... classes:
        ... - {name: road, ids: [1], color: [128, 64, 128]}
        ... - {name: car, ids: [5], color: [100, 150, 245]}
        ... ''') > 0
        True
        >>> (root / "points").mkdir()
        >>> np.ones((4, 4), "<f4").tofile(root / "points" / "000.bin")
        >>> np.array([1, 5, 5, 0], "<u4").tofile(root / "points" / "000.label")
        >>> (root / "train.txt").write_text("000")
        3
        >>> open_mapped(root, load_label_map(root / "yard.yaml"), "train").names
        ['000']
    """
    reader = MappedNuScenes if label_map.layout == "nuscenes" else MappedDataset
    return reader(root, label_map, split, on_bad_scan, cache)
