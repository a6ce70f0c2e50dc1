"""A student for a user's own sensor, from a few labelled scans, unlabelled ones and a larger network: ``topokd adapt``.

1. The teacher gets the user's classes and is trained further on the labelled scans.
2. It labels the unlabelled scans; classes that it is sure of become labels (pseudo-labels).
3. The student learns from the labels, the pseudo-labels, and the teacher's class probabilities at every voxel.
4. Both are scored on labelled scans that neither was trained on.
"""

from topokd.adaptation.result import Adaptation
from topokd.adaptation.run import adapt
from topokd.adaptation.scans import collect_scans
from topokd.adaptation.settings import Settings

__all__ = ["Adaptation", "Settings", "adapt", "collect_scans"]
