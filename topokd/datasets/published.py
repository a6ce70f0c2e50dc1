"""What the owners of the data sets publish about them: split sizes and class shares, to compare a copy with."""

from __future__ import annotations

from dataclasses import dataclass

from topokd.datasets.nuscenes.classes import CATEGORIES
from topokd.datasets.semantickitti.classes import SEMANTICKITTI


@dataclass(frozen=True)
class SplitSize:
    """``unit`` says what is counted: scans, keyframes, or segments (Waymo labels some frames of each)."""

    count: int
    unit: str
    source: str


_KITTI = (
    "Behley et al., SemanticKITTI, ICCV 2019: 23,201 scans of sequences 00-10 (4,071 of them of 08), 20,351 of 11-21"
)
_NUSCENES = "Vora et al., PointPainting, CVPR 2020 (of nuScenes' makers), section 4: samples per split"
_MINI = (
    "v1.0-mini's 404 samples (nuScenes tutorial) divided by mini_train and mini_val of nuscenes-devkit utils/splits.py"
)
_WAYMO = (
    "Sun et al., Waymo Open Dataset, CVPR 2020: 1,000 segments for training (798) and validation (202), 150 to test"
)

SPLIT_SIZES: dict[str, dict[str, SplitSize]] = {
    "semantickitti": {
        "train": SplitSize(19_130, "scans", _KITTI),
        "val": SplitSize(4_071, "scans", _KITTI),
        "test": SplitSize(20_351, "scans", _KITTI),
    },
    "v1.0-trainval": {
        "train": SplitSize(28_130, "keyframes", _NUSCENES),
        "val": SplitSize(6_019, "keyframes", _NUSCENES),
    },
    "v1.0-mini": {"train": SplitSize(323, "keyframes", _MINI), "val": SplitSize(81, "keyframes", _MINI)},
    "v1.0-test": {"test": SplitSize(6_008, "keyframes", _NUSCENES)},
    "waymo": {
        "train": SplitSize(798, "segments", _WAYMO),
        "val": SplitSize(202, "segments", _WAYMO),
        "test": SplitSize(150, "segments", _WAYMO),
    },
}
"""By data set (nuScenes: by version) and split. The parts add up to what the sources give."""

WAYMO_TEST_FRAMES = SplitSize(
    2_982,
    "frames",
    "waymo-open-dataset, tutorial/3d_semseg_test_set_frames.txt: lines of the list of frames that the server takes",
)

SEMANTICKITTI_CONTENT = {
    0: 0.018889854628292943, 1: 0.0002937197336781505, 10: 0.040818519255974316, 11: 0.00016609538710764618,
    13: 2.7879693665067774e-05, 15: 0.00039838616015114444, 16: 0.0, 18: 0.0020633612104619787,
    20: 0.0016218197275284021, 30: 0.00017698551338515307, 31: 1.1065903904919655e-08, 32: 5.532951952459828e-09,
    40: 0.1987493871255525, 44: 0.014717169549888214, 48: 0.14392298360372, 49: 0.0039048553037472045,
    50: 0.1326861944777486, 51: 0.0723592229456223, 52: 0.002395131480328884, 60: 4.7084144280367186e-05,
    70: 0.26681502148037506, 71: 0.006035012012626033, 72: 0.07814222006271769, 80: 0.002855498193863172,
    81: 0.0006155958086189918, 99: 0.009923127583046915, 252: 0.001789309418528068, 253: 0.00012709999297008662,
    254: 0.00016059776092534436, 255: 3.745553104802113e-05, 256: 0.0, 257: 0.00011351574470342043,
    258: 0.00010157861367183268, 259: 4.3840131989471124e-05,
}  # fmt: skip
"""Share of all points of the training split per raw id: ``content`` of semantic-kitti-api's config/semantic-kitti.yaml,
counted by its content.py."""

NUSCENES_POINTS = {
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


@dataclass(frozen=True)
class ClassShares:
    """Share of each class among the points that are not ignored, in all ``splits`` together."""

    splits: tuple[str, ...]
    shares: dict[str, float]


def class_shares() -> dict[str, ClassShares]:
    """What is published, by data set (nuScenes: by version); Waymo publishes none.

    >>> round(class_shares()["semantickitti"].shares["road"], 3)
    0.205
    """
    kitti = {
        name: sum(SEMANTICKITTI_CONTENT.get(raw, 0.0) for raw in ids)
        for name, ids in zip(SEMANTICKITTI.class_names, SEMANTICKITTI.gathers, strict=True)
    }
    nuscenes: dict[str, float] = {}
    for category, kind in CATEGORIES:
        if kind is not None:
            nuscenes[kind] = nuscenes.get(kind, 0) + NUSCENES_POINTS[category]
    return {
        "semantickitti": ClassShares(("train",), _normalised(kitti)),
        "v1.0-trainval": ClassShares(("train", "val"), _normalised(nuscenes)),
    }


def _normalised(counts: dict[str, float]) -> dict[str, float]:
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()}
