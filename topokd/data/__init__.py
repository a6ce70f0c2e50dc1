"""Scans, datasets, the synthetic world, transforms, voxels and batches."""

from topokd.data.batch import Batch, collate
from topokd.data.build import build_dataset
from topokd.data.layout import write_scan
from topokd.data.sampling import Scans, training_batch, training_sample
from topokd.data.scan import IGNORE, Scan
from topokd.data.semantickitti import SemanticKITTI
from topokd.data.synthetic import SyntheticLidar, generate
from topokd.data.transforms import augment
from topokd.data.voxels import Voxels, crop, voxelize

__all__ = [
    "IGNORE",
    "Batch",
    "Scan",
    "Scans",
    "SemanticKITTI",
    "SyntheticLidar",
    "Voxels",
    "augment",
    "build_dataset",
    "collate",
    "crop",
    "generate",
    "training_batch",
    "training_sample",
    "voxelize",
    "write_scan",
]
