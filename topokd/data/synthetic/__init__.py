"""A procedural street world, scanned by a spinning LiDAR."""

from topokd.data.synthetic.dataset import SyntheticLidar, generate

__all__ = ["SyntheticLidar", "generate"]
