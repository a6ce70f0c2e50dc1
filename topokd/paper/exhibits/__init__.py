"""Every figure and table of the report. To add one, append its declaration to the file of its section.

:data:`EXHIBITS` is all that the report, notebook 90 and the tables in ``results/<profile>/tables/`` loop over: nothing
else lists exhibits. A new section is a new file with its declarations and one more line here.
"""

from __future__ import annotations

from itertools import groupby

from topokd.paper.exhibits import (
    comparison,
    contradictions,
    framework,
    networks,
    provenance,
    rows,
    scans,
    segmentation,
    topology,
)
from topokd.paper.exhibits.exhibit import Exhibit, Figure, Listing, Section, Table

PARTS = (comparison, framework, segmentation, networks, rows, topology, scans, contradictions, provenance)
DECLARED = [exhibit for part in PARTS for exhibit in part.DECLARED]
EXHIBITS: dict[str, Exhibit] = {exhibit.id: exhibit for exhibit in DECLARED}
if len(EXHIBITS) < len(DECLARED):
    raise ValueError(f"two exhibits share an id: {sorted(exhibit.id for exhibit in DECLARED)}")


def sections() -> list[tuple[Section, list[Exhibit]]]:
    """The sections of the report in order, each with its exhibits."""
    return [(section, list(group)) for section, group in groupby(EXHIBITS.values(), lambda e: e.section)]


def tables() -> list[Table]:
    """The tables among the exhibits."""
    return [exhibit for exhibit in EXHIBITS.values() if isinstance(exhibit, Table)]


def figures() -> list[Figure]:
    """The figures among the exhibits."""
    return [exhibit for exhibit in EXHIBITS.values() if isinstance(exhibit, Figure)]


__all__ = ["EXHIBITS", "Exhibit", "Figure", "Listing", "Section", "Table", "figures", "sections", "tables"]
