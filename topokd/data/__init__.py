"""Scans, datasets, the synthetic world, transforms, voxels and batches."""

from topokd.data.batch import Batch, collate
from topokd.data.build import build_dataset
from topokd.data.cache import ScanCache
from topokd.data.layout import write_scan
from topokd.data.loader import read_ahead
from topokd.data.nuscenes import NuScenesLidarSeg
from topokd.data.sampling import Scans, training_batch, training_sample
from topokd.data.scan import IGNORE, Scan
from topokd.data.semantickitti import SemanticKITTI
from topokd.data.synthetic import SyntheticLidar, generate, write_nuscenes, write_waymo
from topokd.data.transforms import augment
from topokd.data.voxels import Voxels, crop, voxelize
from topokd.data.waymo import WaymoSegmentation

__all__ = [
    "IGNORE",
    "Batch",
    "NuScenesLidarSeg",
    "Scan",
    "ScanCache",
    "Scans",
    "SemanticKITTI",
    "SyntheticLidar",
    "Voxels",
    "WaymoSegmentation",
    "augment",
    "build_dataset",
    "collate",
    "crop",
    "generate",
    "read_ahead",
    "training_batch",
    "training_sample",
    "voxelize",
    "write_nuscenes",
    "write_scan",
    "write_waymo",
]
