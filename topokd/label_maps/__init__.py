"""Read any data set of scans and label files by a label map: a YAML file with its layout, columns, splits and classes.

``conf/labels/*.yaml`` are label maps of published data sets; one for your own data looks like this::

    name: Yard
    scans: recordings/{sequence}/points/{scan}.bin       # fields: {split}, {sequence}, {scan}
    labels: recordings/{sequence}/labels/{scan}.label    # uint32 with the id in the low 16 bits
    columns: [x, y, z, intensity]                        # `_` marks a column to ignore
    intensity_scale: 255
    splits: {train: ["a", "b"], val: val.txt}            # sequences, or a file that lists scans
    ignored: [0]
    classes:
      - {name: person, ids: [4, 5], color: [226, 60, 50]}

In nuScenes' layout the tables say where the files are, and classes may name the categories of ``category.json``::

    name: Harbour
    layout: nuscenes
    version: v1.0-harbour                                # folder of the tables
    splits: {train: ["pier-1", "pier-2"], val: ["pier-3"]}   # scenes; without: nuScenes' own
    ignored_names: [noise]
    classes:
      - {name: crane, categories: [static.crane, static.gantry], color: [226, 60, 50]}
"""

from topokd.label_maps.check import check_mapped
from topokd.label_maps.dataset import MappedDataset, open_mapped
from topokd.label_maps.description import LabelMap, label_map_names, load_label_map
from topokd.label_maps.written import WrittenLabels, written_labels

__all__ = [
    "LabelMap",
    "MappedDataset",
    "WrittenLabels",
    "check_mapped",
    "label_map_names",
    "load_label_map",
    "open_mapped",
    "written_labels",
]
