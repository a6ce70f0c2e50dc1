"""Where the paper disagrees with itself."""

from __future__ import annotations

from topokd.paper.exhibits.exhibit import Listing, ReportSection
from topokd.paper.quoted import contradictions, quoted_ratios

SECTION = ReportSection(
    "contradictions",
    "Where the paper disagrees with itself",
    "The tables above quote the paper as printed. These numbers in its text or tables do not follow from its own "
    "cells; none was corrected. Criteria: a number that is printed twice must be the same; a number computed from "
    "cells (a mean, a difference, a ratio) may differ as far as the rounding of the cells allows, which is 0.1 for a "
    "mean over classes; a number that the paper calls approximate may be off by 5 %.",
)

DECLARED = (
    Listing(id="disagreements", section=SECTION, title="", caption="", frame=contradictions),
    Listing(
        id="claims",
        section=SECTION,
        title="Speed-ups and ratios quoted in the text, and the quantity behind each",
        caption="",
        frame=quoted_ratios,
    ),
)
