"""The scans of the profile."""

from __future__ import annotations

from topokd.paper.exhibits.exhibit import Figure, Section

SECTION = Section("scans", "Scans")

DECLARED = (
    Figure(
        id="data",
        section=SECTION,
        title="Class frequencies, ranges and scans of this profile",
        caption="Share of the labelled points per class and of all points per distance; one scan by class and "
        "intensity; several scans from above; the steps that prepare a training sample.",
        stage="data",
        names=("data_statistics", "data_scan", "data_scans", "data_sample"),
    ),
)
