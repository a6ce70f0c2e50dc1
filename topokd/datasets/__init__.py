"""The public benchmarks: SemanticKITTI, nuScenes-lidarseg and the Waymo Open Dataset, one folder each."""

from topokd.datasets.nuscenes.reader import NuScenesLidarSeg
from topokd.datasets.semantickitti.reader import SemanticKITTI
from topokd.datasets.waymo.reader import WaymoSegmentation

__all__ = ["NuScenesLidarSeg", "SemanticKITTI", "WaymoSegmentation"]
