"""Studies with enough seeds to show "no effect": paired seeds, unused streets, one tuning protocol, equivalence tests.

`plan` defines the protocol, `runner` trains (resumably), `inference` and `bootstrap` do the statistics, and `answer`
summarises the results.
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
