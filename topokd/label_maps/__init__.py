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
"""

from topokd.label_maps.dataset import MappedDataset, check_mapped
from topokd.label_maps.description import LabelMap, label_map_names, load_label_map

__all__ = ["LabelMap", "MappedDataset", "check_mapped", "label_map_names", "load_label_map"]
