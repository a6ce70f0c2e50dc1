"""A procedural street world, scanned by a spinning LiDAR, in the layouts of three data sets."""

from topokd.synthetic.dataset import SyntheticLidar
from topokd.synthetic.layouts import LAYOUTS
from topokd.synthetic.nuscenes_writer import write_nuscenes
from topokd.synthetic.semantickitti_writer import write_semantickitti
from topokd.synthetic.waymo_writer import write_waymo

__all__ = ["LAYOUTS", "SyntheticLidar", "write_nuscenes", "write_semantickitti", "write_waymo"]
