"""The experiment with power: paired seeds, unused streets, one tuning protocol, and inference that can say "no effect".

`inference` and `bootstrap` answer from numbers alone; `plan` holds the protocol; `runner` runs it, resumably.
"""

from topokd.experiments.study.bootstrap import StreetScores, bootstrap_difference
from topokd.experiments.study.inference import (
    Difference,
    Equivalence,
    equivalence_power,
    holm,
    paired_difference,
    seeds_needed,
    superiority_power,
    tost,
)

__all__ = [
    "Difference",
    "Equivalence",
    "StreetScores",
    "bootstrap_difference",
    "equivalence_power",
    "holm",
    "paired_difference",
    "seeds_needed",
    "superiority_power",
    "tost",
]
