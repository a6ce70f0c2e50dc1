"""Statistics of 34 real SemanticKITTI scans, committed so that the synthetic world can be compared without the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from topokd.datasets.semantickitti.reader import SemanticKITTI
from topokd.datasets.statistics import statistics
from topokd.io import read_json, write_json

FILE = Path(__file__).with_suffix(".json")


def real_statistics() -> dict[str, Any]:
    """The record in `FILE`; its ``statistics`` has the fields of `topokd.datasets.statistics.statistics`.

    Examples:
        >>> real_statistics()["statistics"]["scans"]
        34
    """
    return read_json(FILE)


def write_real_statistics(root: str | Path) -> None:
    """Write `FILE` from the scans of sequences 00-10 under ``root``."""
    record = {
        "source": "34 scans of SemanticKITTI, sequences 00-10 (frames 0, 4, 9 of each, and 08/000720), HDL-64E",
        "licence": "Aggregate numbers only, no data. KITTI (Geiger et al. 2012) is CC BY-NC-SA 3.0, the labels of "
        "SemanticKITTI (Behley et al. 2019) are CC BY-NC-SA 4.0.",
        "command": 'python -c "from topokd.datasets.semantickitti import real_statistics as r; '
        "r.write_real_statistics('<root>')\"",
        "limits": "Three frames of one second per sequence, so about a dozen places; some classes have few points.",
        "statistics": statistics(SemanticKITTI(root, tuple(range(11)), cache=0)),
    }
    write_json(FILE, record)
