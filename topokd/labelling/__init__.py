"""Label users' own scans with a trained network: ``topokd predict``.

`topokd.label_maps` is for the opposite case: data sets that come with labels.
"""

from topokd.labelling.classes import Classes
from topokd.labelling.files import FORMATS, predict_files, write_prediction
from topokd.labelling.folder import find_scans
from topokd.labelling.labeller import Labeller

__all__ = ["FORMATS", "Classes", "Labeller", "find_scans", "predict_files", "write_prediction"]
