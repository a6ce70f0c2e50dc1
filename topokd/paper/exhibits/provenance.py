"""How the numbers were made."""

from __future__ import annotations

from topokd.paper.exhibits.exhibit import Listing, ReportSection
from topokd.paper.provenance import conditions, runs

SECTION = ReportSection(
    "provenance",
    "How these numbers were made",
    "Evaluation is per original point on the whole validation split, one cloud at a time. Runs of one seed share the "
    "teacher, the initial weights and the order of the batches; the rows differ in their loss terms alone.",
)

DECLARED = (
    Listing(
        id="runs", section=SECTION, title="", caption="", stage="student", frame=runs, words=("Loss terms", "Preset")
    ),
    Listing(id="conditions", section=SECTION, title="", caption="", stage="student", frame=conditions),
)
