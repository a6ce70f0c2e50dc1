"""Scans, transforms, voxels, batches and loading, independent of any benchmark."""

from topokd.data.batch import Batch, collate
from topokd.data.cache import ScanCache
from topokd.data.loader import prefetch
from topokd.data.sampling import Scans, training_batch, training_sample
from topokd.data.scan import IGNORE, Scan
from topokd.data.transforms import augment
from topokd.data.voxels import Voxels, crop, voxel_key, voxelize

__all__ = [
    "IGNORE",
    "Batch",
    "Scan",
    "ScanCache",
    "Scans",
    "Voxels",
    "augment",
    "collate",
    "crop",
    "prefetch",
    "training_batch",
    "training_sample",
    "voxel_key",
    "voxelize",
]
