"""Class ids of the synthetic world: from SemanticKITTI raw ids to nuScenes and Waymo ids."""

from __future__ import annotations

import numpy as np

from topokd.datasets.nuscenes.classes import CATEGORIES
from topokd.datasets.waymo.classes import WAYMO

_NAMES: dict[int, tuple[str, str | None]] = {  # raw id -> nuScenes category, Waymo class (None: undefined)
    0: ("static.other", None),
    1: ("noise", None),
    10: ("vehicle.car", "car"),
    11: ("vehicle.bicycle", "bicycle"),
    13: ("vehicle.bus.rigid", "bus"),
    15: ("vehicle.motorcycle", "motorcycle"),
    16: ("vehicle.bus.rigid", "other_vehicle"),
    18: ("vehicle.truck", "truck"),
    20: ("vehicle.trailer", "other_vehicle"),
    30: ("human.pedestrian.adult", "pedestrian"),
    31: ("vehicle.bicycle", "bicyclist"),  # nuScenes labels riders as part of their vehicle
    32: ("vehicle.motorcycle", "motorcyclist"),
    40: ("flat.driveable_surface", "road"),
    44: ("flat.driveable_surface", "other_ground"),
    48: ("flat.sidewalk", "sidewalk"),
    49: ("flat.other", "other_ground"),
    50: ("static.manmade", "building"),
    51: ("static.manmade", "building"),
    52: ("static.manmade", "building"),
    60: ("flat.driveable_surface", "lane_marker"),
    70: ("static.vegetation", "vegetation"),
    71: ("static.vegetation", "tree_trunk"),
    72: ("flat.terrain", "walkable"),
    80: ("static.manmade", "pole"),
    81: ("static.manmade", "sign"),
    99: ("static.other", None),
}
_MOVING = {252: 10, 253: 31, 254: 30, 255: 32, 256: 16, 257: 13, 258: 18, 259: 20}
_INDEX = {name: index for index, (name, _) in enumerate(CATEGORIES)}

NUSCENES_OF_RAW = np.zeros(260, np.int64)
"""Index of ``category.json``."""
WAYMO_OF_RAW = np.zeros(260, np.int64)
"""Class id 0 (undefined) to 22."""
for _raw in (*_NAMES, *_MOVING):
    _category, _class = _NAMES[_MOVING.get(_raw, _raw)]
    NUSCENES_OF_RAW[_raw] = _INDEX[_category]
    WAYMO_OF_RAW[_raw] = 0 if _class is None else 1 + WAYMO.class_names.index(_class)
