"""The benchmarks' classes: names, colours, file ids."""

from topokd.data.labels.nuscenes import NUSCENES
from topokd.data.labels.semantickitti import SEMANTICKITTI
from topokd.data.labels.space import LabelSpace
from topokd.data.labels.waymo import WAYMO

LABEL_SPACES: dict[str, LabelSpace] = {"semantickitti": SEMANTICKITTI, "nuscenes": NUSCENES, "waymo": WAYMO}
"""By the name that ``data.dataset`` has for them."""

__all__ = ["LABEL_SPACES", "NUSCENES", "SEMANTICKITTI", "WAYMO", "LabelSpace"]
