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
        caption="This profile's seeds. First panel: mean and 95 % interval. Second: gains, paired by seed, with at "
        "least the standard deviation of all of them together; open markers: the paper's Table 7, without intervals.",
        draw=figures.ablation_figure,
        narrow=True,
    ),
    Figure(
        id="picture",
        section=SECTION,
        title="One validation scan",
        caption="Ground truth, and the prediction of one student.",
        stage="evaluation",
        names=("overview",),
        first_seed=True,
        scans="one",
    ),
)
