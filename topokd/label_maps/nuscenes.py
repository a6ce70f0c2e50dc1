"""Data sets in nuScenes' layout with classes of their own."""

from __future__ import annotations

from pathlib import Path

from topokd.data.dataset import OnBadScan
from topokd.data.label_space import LabelSpace
from topokd.datasets.check import require_root
from topokd.datasets.nuscenes.reader import NuScenesLidarSeg
from topokd.datasets.nuscenes.tables import Record
from topokd.errors import DataError
from topokd.label_maps.description import LabelMap


class MappedNuScenes(NuScenesLidarSeg):
    """The keyframes of one split of a data set in nuScenes' layout, with the classes of a label map.

    Args:
        root: the folder that holds the tables, ``samples/`` and ``lidarseg/``.
        label_map: a map with ``layout: nuscenes``; without ``splits`` the scenes are nuScenes' own.
        split: one of its splits.
        on_bad_scan, cache: as for other readers.

    Raises:
        AbsentSplitError: the tables hold none of the scenes of this split.
        DataError: a damaged table or file, or an id that the map does not have.
    """

    recipe_fields = (*NuScenesLidarSeg.recipe_fields, "description")

    def __init__(
        self, root: str | Path, label_map: LabelMap, split: str, on_bad_scan: OnBadScan = "raise", cache: int = 128
    ) -> None:
        require_root(Path(root), f"name the folder of {label_map.name}")
        self.label_map, self.description = label_map, label_map.model_dump_json()
        self.versions = (label_map.version,)  # type: ignore[misc]
        self.labels = label_map.space(Path(root))  # type: ignore[misc]
        self.class_names, self.palette = self.labels.class_names, self.labels.palette  # type: ignore[misc]
        self.num_classes = self.labels.num_classes  # type: ignore[misc]
        scenes = label_map.splits.get(split)
        if scenes is None and label_map.splits:
            raise DataError(f"{label_map.name} has no split {split!r}; it has {', '.join(label_map.splits)}")
        super().__init__(root, scenes or split, label_map.version, 1, on_bad_scan, cache)
        self.split = split
        self.labelled = self.labelled and bool(self._labels_of)

    def _label_space(self, categories: list[Record], file: Path) -> LabelSpace:
        return self.label_map.space_of_categories(categories, file.parent)
