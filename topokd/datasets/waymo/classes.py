"""The 22 classes of 3D semantic segmentation on Waymo Open (waymo-open-dataset, segmentation.proto)."""

from topokd.data.label_space import LabelSpace

WAYMO = LabelSpace(
    name="Waymo Open",
    class_names=(
        "car", "truck", "bus", "other_vehicle", "motorcyclist", "bicyclist", "pedestrian", "sign", "traffic_light",
        "pole", "construction_cone", "bicycle", "motorcycle", "building", "vegetation", "tree_trunk", "curb", "road",
        "lane_marker", "other_ground", "walkable", "sidewalk",
    ),
    palette=(
        (52, 110, 235), (110, 45, 190), (30, 60, 150), (70, 150, 205), (150, 30, 100), (240, 60, 190), (226, 60, 50),
        (200, 20, 20), (250, 200, 0), (225, 215, 150), (255, 120, 0), (108, 196, 240), (60, 60, 175), (240, 195, 60),
        (40, 160, 70), (140, 85, 45), (130, 130, 140), (205, 100, 205), (245, 220, 245), (170, 40, 80),
        (150, 210, 100), (95, 35, 95),
    ),
    raw_ids_of_class=tuple((index,) for index in range(1, 23)),
    ignored=(0,),
    submission_ids=tuple(range(1, 23)),
    bits=8,
    hint="labels must hold 0 (undefined) to 22 (sidewalk)",
)  # fmt: skip
