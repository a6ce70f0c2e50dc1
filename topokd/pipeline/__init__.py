"""Running the notebooks: one at a time (what each DVC stage does), or a whole profile on all cores."""

from topokd.pipeline.notebook import run_notebook
from topokd.pipeline.pairing import pair_notebooks, unpaired_notebooks
from topokd.pipeline.profiles import stale_profiles, update_profiles
from topokd.pipeline.repro import read_stages, reproduce

__all__ = [
    "pair_notebooks",
    "read_stages",
    "reproduce",
    "run_notebook",
    "stale_profiles",
    "unpaired_notebooks",
    "update_profiles",
]
