"""The benchmarks' classes: names, colours, file ids."""

from topokd.data.label_space import LabelSpace
from topokd.datasets.nuscenes.classes import NUSCENES
from topokd.datasets.semantickitti.classes import SEMANTICKITTI
from topokd.datasets.waymo.classes import WAYMO

LABEL_SPACES: dict[str, LabelSpace] = {"semantickitti": SEMANTICKITTI, "nuscenes": NUSCENES, "waymo": WAYMO}
"""By the name that ``data.dataset`` has for them."""

__all__ = ["LABEL_SPACES", "NUSCENES", "SEMANTICKITTI", "WAYMO", "LabelSpace"]
