"""A label map: the YAML file that describes a data set, checked."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from topokd import schema
from topokd.choices import LabelType
from topokd.data.formats.cloud import check_reading
from topokd.data.label_space import LabelSpace
from topokd.datasets.nuscenes.classes import category_indices
from topokd.datasets.nuscenes.tables import Record, read_table
from topokd.errors import DataError, ParameterError
from topokd.project import project_path
from topokd.schema import Positive, Section
from topokd.yaml_text import parse_yaml

FOLDER = "conf/labels"
FIELDS = ("split", "sequence", "scan")
_Id = Annotated[int, Field(strict=True, ge=0, lt=1 << 16)]
_Byte = Annotated[int, Field(strict=True, ge=0, le=255)]


class ClassEntry(Section):
    """One class."""

    name: str = Field(min_length=1, pattern=r"^[^,\n]+$", description="unique, without commas")
    ids: tuple[_Id, ...] = Field((), description="its ids in label files; the first one is written")
    categories: tuple[str, ...] = Field((), description="in nuScenes' layout instead: its names in category.json")
    color: tuple[_Byte, _Byte, _Byte] = Field(description="red, green, blue, 0..255")

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if name != name.strip() or any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in name):
            raise ValueError("remove spaces at its ends and control characters")
        return name


class LabelMap(Section):
    """Layout, columns, splits and classes of a data set.

    Examples:
        >>> label_map = load_label_map("semanticstf")
        >>> label_map.name, label_map.split_names, label_map.classes[0].name
        ('SemanticSTF', ('train', 'val', 'test'), 'car')
    """

    name: str = Field(description="of the data set")
    layout: Literal["folders", "nuscenes"] = Field(
        "folders", description="folders: `scans` and `labels` say where the files are; nuscenes: its tables do"
    )
    version: str = Field("v1.0-trainval", pattern=r"^[^/]+$", description="in nuScenes' layout: folder of the tables")
    scans: str = Field("", description="path of a scan below the root, with {scan} and {sequence} or {split}")
    labels: str = Field("", description="path of its labels, with the same fields")
    columns: tuple[str, ...] = Field((), description="of the scans' values; empty: recognised")
    dtype: str | None = Field(None, description="number type of .bin scans")
    intensity_scale: Positive | None = Field(None, description="full scale of intensities")
    scale: Positive = Field(1.0, description="metres per unit")
    frame: str = Field("x,y,z", description="axes of the files that become x forward, y left, z up")
    label_dtype: LabelType = Field(
        "uint32", description="uint32 has the id in the low 16 bits, the object in the high ones"
    )
    splits: dict[str, tuple[str, ...] | str] = Field(
        {},
        description="sequences (scenes) of each split, or a file that lists its scans; with {split} in the paths, or "
        "with nuScenes' own scenes: not needed",
    )
    ignored: tuple[_Id, ...] = Field((), description="ids that neither train nor count")
    classes: tuple[ClassEntry, ...] = Field((), description="in the order of the network's outputs")
    class_table: str | None = Field(None, description="instead: a .csv below the root, class_name, label_key, hex")
    ignored_names: tuple[str, ...] = Field(
        (), description="classes of that table, or categories of nuScenes' layout, that do not count"
    )

    @model_validator(mode="after")
    def _consistent(self) -> LabelMap:
        (self._check_tables if self.layout == "nuscenes" else self._check_folders)()
        names = [entry.name for entry in self.classes]
        ids = [number for entry in self.classes for number in entry.ids] + list(self.ignored)
        categories = [name for entry in self.classes for name in entry.categories] + list(self.ignored_names)
        for what, values in (("class name", names), ("id", ids), ("category", categories)):
            twice = [value for value, times in Counter(map(str, values)).items() if times > 1]
            if twice:
                raise ValueError(f"the {what} {twice[0]} occurs twice")
        return self

    def _check_folders(self) -> None:
        for name, path in (("scans", self.scans), ("labels", self.labels)):
            outside = Path(path).is_absolute() or ".." in Path(path).parts
            if re.search(r"[{}]", re.sub(r"\{\w+\}", "", path)) or outside or "\0" in path:
                raise ValueError(f"{name} is {path!r}; it must be a path below the root, with fields such as {{scan}}")
        used = [set(re.findall(r"\{(\w*)\}", path)) for path in (self.scans, self.labels)]
        if used[0] != used[1] or "scan" not in used[0] or not used[0] <= set(FIELDS):
            raise ValueError(
                "scans and labels need the same fields: {scan}, and {sequence} or {split} where there are any"
            )
        if self.scans == self.labels:
            raise ValueError(f"scans and labels are both {self.scans!r}; labels are files of their own")
        if "split" not in used[0] and not self.splits:
            raise ValueError("splits is empty: name the sequences of each split, or put {split} into the paths")
        if bool(self.classes) == bool(self.class_table):
            raise ValueError("give either classes or class_table")
        for entry in self.classes:
            if not entry.ids or entry.categories:
                raise ValueError(f"the class {entry.name} needs ids; categories are for layout: nuscenes")
        largest = max((*self.ignored, *(number for entry in self.classes for number in entry.ids)), default=0)
        if self.label_dtype == "uint8" and largest > 255:
            raise ValueError(f"the id {largest} does not fit into label_dtype uint8, which ends at 255")
        try:
            check_reading(**self.reading())
        except DataError as error:
            raise ValueError(str(error)) from None

    def _check_tables(self) -> None:
        own = ("scans", "labels", "columns", "dtype", "intensity_scale", "scale", "frame", "label_dtype", "class_table")
        given = [name for name in own if name in self.model_fields_set]
        if given:
            raise ValueError(f"remove {', '.join(given)}: in nuScenes' layout the tables and the format say it")
        if not self.classes:
            raise ValueError("classes is empty: give each class a name, a color, and its categories or ids")
        for entry in self.classes:
            if bool(entry.ids) == bool(entry.categories):
                raise ValueError(f"the class {entry.name} needs either categories (names in category.json) or ids")
        listed = [name for name, scenes in self.splits.items() if isinstance(scenes, str)]
        if listed:
            raise ValueError(f"split {listed[0]} must be a list of scenes in nuScenes' layout")

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits that a copy may have."""
        if self.splits:
            return tuple(self.splits)
        return ("train", "val") if self.layout == "nuscenes" else ("train", "val", "test")

    def reading(self) -> dict[str, Any]:
        """How a scan of the data set is read: options of `topokd.data.formats.read_cloud`; not those left open."""
        if self.layout == "nuscenes":
            return {"columns": ("x", "y", "z", "intensity", "_"), "intensity_scale": 255.0}
        options = {"columns": self.columns or None, "dtype": self.dtype, "intensity_scale": self.intensity_scale}
        return {
            **{name: value for name, value in options.items() if value is not None},
            **{"scale": self.scale, "frame": self.frame},
        }

    def root_above(self, path: Path) -> Path:
        """The folder of the data set that contains a scan or folder, for a map with a table there; else ``path``."""
        table = f"{self.version}/category.json" if self.layout == "nuscenes" else self.class_table
        above = (path, *Path(os.path.realpath(path)).parents)
        return next((folder for folder in above if table and (folder / table).is_file()), path)

    def space(self, root: Path) -> LabelSpace:
        """The classes; those of ``class_table``, or the ids of categories, are read below ``root``.

        Raises:
            DataError: the table is missing or damaged, or lacks a category.
        """
        if self.layout == "nuscenes":
            return self.space_of_categories(read_table(root / self.version, "category"), root / self.version)
        entries, ignored = (
            (self.classes, self.ignored) if self.classes else _read_table(self, root / str(self.class_table))
        )
        return self._space([entry.ids for entry in entries], entries, ignored)

    def space_of_categories(self, categories: list[Record], tables: Path) -> LabelSpace:
        """The classes, with the ids that ``category.json`` in ``tables`` gives to their categories.

        Raises:
            DataError: the table lacks a category of the map.
        """
        file = tables / "category.json"
        index_of = category_indices(categories, file)
        wanted = [*(name for entry in self.classes for name in entry.categories), *self.ignored_names]
        missing = [name for name in wanted if name not in index_of]
        if missing:
            raise DataError(f"{file} has no category {missing[0]!r}; {schema.nearest(missing[0], index_of)}")
        ids = [entry.ids or tuple(index_of[name] for name in entry.categories) for entry in self.classes]
        ignored = (*self.ignored, *(index_of[name] for name in self.ignored_names))
        return self._space(ids, self.classes, ignored)

    def _space(
        self, ids: Sequence[tuple[int, ...]], entries: Sequence[ClassEntry], ignored: tuple[int, ...]
    ) -> LabelSpace:
        taken = {number for numbers in ids for number in numbers}
        return LabelSpace(
            name=self.name,
            class_names=tuple(entry.name for entry in entries),
            palette=tuple(entry.color for entry in entries),
            raw_ids_of_class=tuple(ids),
            ignored=ignored or tuple({0} - taken),
            submission_ids=tuple(numbers[0] for numbers in ids),
            hint="add it to a class or to `ignored` in the label map, or the labels are of another data set",
        )


def label_map_names() -> list[str]:
    """The label maps of the project.

    Returns:
        Names of the files in ``conf/labels``, sorted.

    Examples:
        >>> "rellis3d" in label_map_names()
        True
    """
    return sorted(file.stem for file in project_path(FOLDER).glob("*.yaml"))


def load_label_map(name: str | Path) -> LabelMap:
    """Read a label map.

    Args:
        name: name of a file in ``conf/labels``, or the path of a file.

    Returns:
        The validated label map.

    Raises:
        ParameterError: it does not exist or is not a label map.

    Examples:
        >>> load_label_map("rellis3d").classes[-1].ids
        (34,)
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = project_path(FOLDER) / f"{name}.yaml"
        if not path.is_file():
            raise ParameterError(
                f"no label map {str(name)!r}: name a .yaml file, or a map of {FOLDER} "
                f"({schema.nearest(name, label_map_names())})"
            )
    try:
        tree = parse_yaml(path.read_bytes(), str(path))
    except OSError as error:
        raise ParameterError(f"{path}: {error.strerror}; name a label map: {', '.join(label_map_names())}") from None
    return schema.validate(LabelMap, tree, file=str(path))


def _read_table(label_map: LabelMap, file: Path) -> tuple[tuple[ClassEntry, ...], tuple[int, ...]]:
    """Classes and ignored ids of a table with the columns class_name, label_key and hex."""
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
        entries = [
            ClassEntry(
                name=row["class_name"].strip(),
                ids=(int(row["label_key"]),),
                color=tuple(bytes.fromhex(row["hex"][-6:])),
            )
            for row in rows
        ]
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{file} does not exist: it is part of {label_map.name}; copy it into that folder") from None
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(f"{file} is not a table with class_name, label_key and hex ({error}): copy it again") from error
    for what, values in (("name", [entry.name for entry in entries]), ("id", [entry.ids[0] for entry in entries])):
        twice = [value for value, times in Counter(map(str, values)).items() if times > 1]
        if twice:
            raise DataError(f"{file}: the {what} {twice[0]} occurs twice: copy it again")
    ignored = tuple(entry.ids[0] for entry in entries if entry.name in label_map.ignored_names)
    return tuple(entry for entry in entries if entry.name not in label_map.ignored_names), ignored
