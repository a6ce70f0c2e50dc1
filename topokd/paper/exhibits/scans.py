"""The scans of the profile."""

from __future__ import annotations

from topokd.paper import facts
from topokd.paper.exhibits.exhibit import Figure, ReportSection

SECTION = ReportSection("scans", "Scans")

DECLARED = (
    Figure(
        id="data_statistics",
        section=SECTION,
        short="Classes and ranges",
        title="Class frequencies and ranges of this profile",
        caption="Share of the labelled points per class and of all points per distance (both logarithmic).",
        fact=facts.compared_scans,
        stage="data",
        scans="the splits named above",
    ),
    Figure(
        id="data_scan",
        section=SECTION,
        short="A scan",
        title="One scan of this profile",
        caption="Classes (top) and intensity (bottom), from above and from behind the sensor.",
        stage="data",
        scans="one scan",
    ),
    Figure(
        id="data_scans",
        section=SECTION,
        title="Several scans from above",
        caption="Points in the colours of their classes, as in the figure of one scan.",
        stage="data",
        scans="several scans",
    ),
    Figure(
        id="data_sample",
        section=SECTION,
        title="How a training sample is prepared",
        caption="The scan as read, augmented, in voxels, and cropped, each with its number of points or voxels.",
        stage="data",
        scans="one scan",
    ),
)
