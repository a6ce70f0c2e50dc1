"""What each loss term contributes: Table 7 and the ablation."""

from __future__ import annotations

from topokd.paper import figures, segmentation_tables
from topokd.paper.exhibits.exhibit import Figure, Section, Table

SECTION = Section("terms", "Contribution of each loss term")

DECLARED = (
    Table(
        id="table7",
        section=SECTION,
        short="Table 7",
        title="Table 7. Ablation of the loss terms: mIoU (%)",
        caption="All rows have cross-entropy. Gains are in points of mIoU: reported ones are differences of the "
        "printed cells, measured ones are paired by seed, with the half-width of their 95 % interval. Rows without "
        "reported values are not in the paper's table.",
        stage="student",
        lines=segmentation_tables.table7,
        corner="Trained with",
        labels=True,
    ),
    Figure(
        id="ablation",
        section=SECTION,
        short="Gains of the terms",
        title="Gains of the loss terms, measured beside reported",
        caption="Left: every seed, mean and 95 % interval. Right: gains, paired by seed; open markers are the "
        "differences of the paper's Table 7, which come without intervals.",
        draw=figures.ablation_figure,
    ),
    Figure(
        id="validation",
        section=SECTION,
        short="Validation curves",
        title="Validation during training",
        caption="mIoU on a few scans of the validation split: mean over seeds, band from the lowest to the highest "
        "seed.",
        draw=figures.validation_figure,
    ),
)
