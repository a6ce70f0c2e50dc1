"""The 19 classes of SemanticKITTI and its learning map (semantic-kitti-api)."""

from topokd.data.label_space import LabelSpace

SEMANTICKITTI = LabelSpace(
    name="SemanticKITTI",
    class_names=(
        "car", "bicycle", "motorcycle", "truck", "other-vehicle", "person", "bicyclist", "motorcyclist", "road",
        "parking", "sidewalk", "other-ground", "building", "fence", "vegetation", "trunk", "terrain", "pole",
        "traffic-sign",
    ),
    palette=(
        (52, 110, 235), (108, 196, 240), (60, 60, 175), (110, 45, 190), (70, 150, 205), (226, 60, 50), (240, 60, 190),
        (150, 30, 100), (205, 100, 205), (240, 165, 225), (95, 35, 95), (170, 40, 80), (240, 195, 60), (235, 130, 60),
        (40, 160, 70), (140, 85, 45), (150, 210, 100), (225, 215, 150), (200, 20, 20),
    ),
    raw_ids_of_class=(
        (10, 252), (11,), (15,), (18, 258), (20, 13, 16, 256, 257, 259), (30, 254), (31, 253), (32, 255), (40, 60),
        (44,), (48,), (49,), (50,), (51,), (70,), (71,), (72,), (80,), (81,),
    ),
    ignored=(0, 1, 52, 99),
    submission_ids=(10, 11, 15, 18, 20, 30, 31, 32, 40, 44, 48, 49, 50, 51, 70, 71, 72, 80, 81),
    hint="labels must hold raw ids (10 car, 40 road, ...), not train ids or another data set's",
)  # fmt: skip
