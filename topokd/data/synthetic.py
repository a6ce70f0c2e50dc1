"""The former place of `topokd.synthetic`, for scripts that import it from here.

Examples:
    >>> from topokd.data.synthetic import write_nuscenes
    >>> write_nuscenes.__module__
    'topokd.synthetic.nuscenes_writer'
"""

from topokd.synthetic import LAYOUTS, SyntheticLidar, write_nuscenes, write_semantickitti, write_waymo

__all__ = ["LAYOUTS", "SyntheticLidar", "write_nuscenes", "write_semantickitti", "write_waymo"]
