"""What may be compared with the paper."""

from __future__ import annotations

from topokd.paper.comparability import comparability
from topokd.paper.exhibits.exhibit import Listing, ReportSection

SECTION = ReportSection(
    "comparable",
    "What may be compared with the paper",
    "Exhibits show **reported** values, the paper's cells as printed, beside **measured** ones from this profile. "
    "Measured values are mean ± half-width of the 95 % interval over seeds (Student's t); differences are paired by "
    "seed.",
)

DECLARED = (Listing(id="comparability", section=SECTION, title="", caption="", frame=comparability),)
