"""Where the paper disagrees with itself."""

from __future__ import annotations

from topokd.paper.exhibits.exhibit import Listing, Section
from topokd.paper.quoted import contradictions, quoted_ratios

SECTION = Section(
    "contradictions",
    "Where the paper disagrees with itself",
    "The tables above quote the paper as printed. These numbers of its text or tables do not follow from its own "
    "cells; none was corrected. Means of a row are computed from its printed classes, so differences up to 0.1 are "
    "rounding and are not listed.",
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
