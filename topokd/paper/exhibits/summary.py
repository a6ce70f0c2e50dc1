"""The top of the report: the ablation and one segmented scan."""

from __future__ import annotations

from topokd.paper import figures
from topokd.paper.exhibits.exhibit import Figure, ReportSection

SECTION = ReportSection("summary", "Summary")

DECLARED = (
    Figure(
        id="ablation",
        section=SECTION,
        title="Gains of the loss terms, measured beside reported",
        caption="The seeds of this profile. First panel: every seed, mean and 95 % interval. Second: gains, paired by "
        "seed, with the intervals by which they are judged (at least the standard deviation of all comparisons "
        "together); open markers are the differences of the paper's Table 7, which come without intervals.",
        draw=figures.ablation_figure,
        narrow=True,
    ),
    Figure(
        id="picture",
        section=SECTION,
        title="One validation scan",
        caption="Ground truth, and the prediction of the student with the most loss terms, first seed.",
        stage="evaluation",
        names=("overview",),
        first_seed=True,
        scans="one",
    ),
)
