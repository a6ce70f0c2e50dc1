"""Every figure and table of the report. To add one, declare it in a module of this folder.

The report, notebook 90 and the tables in ``results/<profile>/tables/`` loop over `EXHIBITS`; exhibits are listed
nowhere else.
"""

from __future__ import annotations

import importlib
import pkgutil
from itertools import groupby

from topokd.paper.exhibits.exhibit import Exhibit, Figure, Listing, ReportSection, Table

ORDER = (
    *("summary", "comparison", "framework", "segmentation", "networks", "rows", "studies", "topology", "scans"),
    *("contradictions", "provenance"),
)
"""Order of the modules in the report; modules that are not named here follow, by name."""


def _modules() -> list[str]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "exhibit")
    return [name for name in ORDER if name in names] + [name for name in names if name not in ORDER]


PARTS = tuple(importlib.import_module(f"{__name__}.{name}") for name in _modules())
DECLARED = [exhibit for part in PARTS for exhibit in part.DECLARED]
EXHIBITS: dict[str, Exhibit] = {exhibit.id: exhibit for exhibit in DECLARED}
if len(EXHIBITS) < len(DECLARED):
    raise ValueError(f"two exhibits share an id: {sorted(exhibit.id for exhibit in DECLARED)}")


def sections() -> list[tuple[ReportSection, list[Exhibit]]]:
    """The sections of the report in order, each with its exhibits.

    Returns:
        Pairs of a section and its exhibits, in order.

    Examples:
        >>> [section.id for section, _ in sections()][:2]
        ['summary', 'comparable']
    """
    return [(section, list(group)) for section, group in groupby(EXHIBITS.values(), lambda e: e.section)]


def tables() -> list[Table]:
    """The tables among the exhibits.

    Returns:
        The tables, in the order of the report.

    Examples:
        >>> "table5" in [table.id for table in tables()]
        True
    """
    return [exhibit for exhibit in EXHIBITS.values() if isinstance(exhibit, Table)]


def figures() -> list[Figure]:
    """The figures among the exhibits.

    Returns:
        The figures, in the order of the report.

    Examples:
        >>> "scaling" in [figure.id for figure in figures()]
        True
    """
    return [exhibit for exhibit in EXHIBITS.values() if isinstance(exhibit, Figure)]


__all__ = ["EXHIBITS", "Exhibit", "Figure", "Listing", "ReportSection", "Table", "figures", "sections", "tables"]
