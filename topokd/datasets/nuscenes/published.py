"""Published split sizes and class shares of nuScenes, for checking a copy."""

from topokd.datasets.benchmark import ClassShares, Release, SplitSize
from topokd.datasets.nuscenes.classes import CATEGORIES

_SAMPLES = "Vora et al., PointPainting, CVPR 2020 (by the makers of nuScenes), section 4: samples per split"
_MINI = (
    "the 404 samples of v1.0-mini (nuScenes tutorial) divided by mini_train and mini_val of nuscenes-devkit "
    "utils/splits.py"
)

POINTS = {
    "noise": 2_061_156, "animal": 5_385, "human.pedestrian.adult": 2_156_470, "human.pedestrian.child": 9_655,
    "human.pedestrian.construction_worker": 139_443, "human.pedestrian.personal_mobility": 8_723,
    "human.pedestrian.police_officer": 9_159, "human.pedestrian.stroller": 8_809,
    "human.pedestrian.wheelchair": 12_168, "movable_object.barrier": 9_305_106, "movable_object.debris": 66_861,
    "movable_object.pushable_pullable": 718_641, "movable_object.trafficcone": 736_239,
    "static_object.bicycle_rack": 163_126, "vehicle.bicycle": 141_351, "vehicle.bus.bendy": 357_463,
    "vehicle.bus.rigid": 4_247_297, "vehicle.car": 38_104_219, "vehicle.construction": 1_514_414,
    "vehicle.emergency.ambulance": 2_218, "vehicle.emergency.police": 59_590, "vehicle.motorcycle": 427_391,
    "vehicle.trailer": 4_907_511, "vehicle.truck": 15_841_384, "flat.driveable_surface": 316_958_899,
    "flat.other": 8_559_216, "flat.sidewalk": 70_197_461, "flat.terrain": 70_289_730, "static.manmade": 178_178_063,
    "static.other": 817_150, "static.vegetation": 122_581_273, "vehicle.ego": 337_070_621,
}  # fmt: skip
"""Points per category in train and val of v1.0-trainval: the tables of nuscenes.org/nuscenes#data-annotation."""


def _class_points() -> dict[str, float]:
    counts: dict[str, float] = {}
    for category, class_name in CATEGORIES:
        if class_name is not None:
            counts[class_name] = counts.get(class_name, 0) + POINTS[category]
    return counts


RELEASES = {
    "v1.0-trainval": Release(
        {"train": SplitSize(28_130, "keyframes", _SAMPLES), "val": SplitSize(6_019, "keyframes", _SAMPLES)},
        ClassShares.of_counts(("train", "val"), _class_points()),
    ),
    "v1.0-mini": Release({"train": SplitSize(323, "keyframes", _MINI), "val": SplitSize(81, "keyframes", _MINI)}),
    "v1.0-test": Release({"test": SplitSize(6_008, "keyframes", _SAMPLES)}),
}
"""The sizes add up to the totals in the sources."""
