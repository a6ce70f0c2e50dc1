"""Read users' own scans: .bin, .pcd, .ply, .las, .laz, .npy, .npz.

=============== ======================================================= ==================== =====================
suffix          content                                                 intensity field      needs
=============== ======================================================= ==================== =====================
.bin            rows of numbers: float32, 4 (KITTI) or 5 (nuScenes)     4th column           -
                columns; other types and counts are recognised
.pcd            ascii, binary, binary_compressed                        by name              lzf, where packed
.ply            ascii, binary; element `vertex`                         by name              plyfile
.las .laz       any point format, extra dimensions                      by name              laspy[lazrs]
.npy .npz       numbers (n, c), (c, n) or (h, w, c), or records;        4th column, by name  -
                never a pickle
=============== ======================================================= ==================== =====================

Other fields (ring, time, colours, ...) are ignored. The rules for intensities are in `intensity`; those for points
without a return, stray points and coordinates that are not centred on the sensor are in `placement`. Assumptions about
a file are logged in one line and kept in `Cloud.notes`.
"""

from topokd.data.formats.cloud import SUFFIXES, Cloud, read_cloud
from topokd.data.formats.common_scale import common_scale
from topokd.data.formats.table import Note

__all__ = ["SUFFIXES", "Cloud", "Note", "common_scale", "read_cloud"]
