"""A procedural street world, scanned by a spinning LiDAR, in the layouts of three data sets."""

from topokd.synthetic.dataset import SyntheticLidar, generate
from topokd.synthetic.nuscenes_writer import write_nuscenes
from topokd.synthetic.waymo_writer import write_waymo

__all__ = ["SyntheticLidar", "generate", "write_nuscenes", "write_waymo"]
