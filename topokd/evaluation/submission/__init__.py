"""Files for the benchmarks' servers: writers, and validators that say what a server would reject.

A validator returns a list of problems in words, empty when the server would take the file. Writers go through a
temporary file, so an interrupted run leaves none that looks complete.
"""

from topokd.evaluation.submission.nuscenes import validate_nuscenes, write_nuscenes
from topokd.evaluation.submission.semantickitti import validate_semantickitti, write_semantickitti
from topokd.evaluation.submission.waymo import SubmissionInfo, read_frame_list, validate_waymo, write_waymo

__all__ = [
    "SubmissionInfo",
    "read_frame_list",
    "validate_nuscenes",
    "validate_semantickitti",
    "validate_waymo",
    "write_nuscenes",
    "write_semantickitti",
    "write_waymo",
]
