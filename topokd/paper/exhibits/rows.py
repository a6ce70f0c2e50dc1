"""Contribution of each loss term: Table 7 and the ablation."""

from __future__ import annotations

from topokd.paper import facts, figures, segmentation_tables
from topokd.paper.exhibits.exhibit import Figure, ReportSection, Table

SECTION = ReportSection("terms", "Contribution of each loss term")

DECLARED = (
    Table(
        id="table7",
        section=SECTION,
        short="Table 7",
        title="Table 7. Ablation of the loss terms: mIoU (%)",
        caption="All rows include cross-entropy. Gains are in points of mIoU: reported ones are differences of the "
        "printed cells, measured ones are paired by seed, with the half-width of their 95 % interval over "
        "their own seeds (the answers above use the standard deviation of all comparisons together where it is "
        "larger). Differences are those of unrounded values. The report's first figure draws both; other rows "
        "follow below.",
        stage="student",
        lines=segmentation_tables.table7,
        corner="Trained with",
        labels=True,
    ),
    Table(
        id="beyond",
        section=SECTION,
        short="Beyond the paper",
        title="Beyond the paper: teacher, plain student and rows that Table 7 does not have",
        caption="mIoU (%) with the half-width of its 95 % interval over seeds. Gains are in points and paired by seed; "
        "a teacher counts for each of its students.",
        stage="student",
        lines=segmentation_tables.beyond,
        corner="Trained with",
        labels=True,
    ),
    Figure(
        id="beyond_gains",
        section=SECTION,
        title="Gains of the rows beyond the paper",
        caption="Like the report's first figure, for rows that are not in the paper.",
        draw=figures.beyond_figure,
        narrow=True,
        optional=True,
    ),
    Figure(
        id="shares",
        section=SECTION,
        short="Gradients",
        title="Gradient norms of the loss terms",
        caption="Norm of the gradient of each weighted term in the student's parameters, in percent of that of the "
        "segmentation loss (logarithmic; mean over seeds, band from lowest to highest). Dotted: 1 % and 90 %, the "
        "limits beyond which a run warns of the term. The value of a loss does not tell how large its gradient is.",
        draw=figures.share_figure,
        fact=facts.gradients,
        optional=True,
    ),
    Figure(
        id="validation",
        section=SECTION,
        short="Validation curves",
        title="Validation during training",
        caption="Shows whether training still climbs at its end.",
        draw=figures.validation_figure,
        fact=facts.validation,
        optional=True,
    ),
)
