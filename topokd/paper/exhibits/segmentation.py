"""Accuracy on the benchmarks: Tables 1 to 4, Figure 3, and breakdowns by class, range and boundary distance."""

from __future__ import annotations

from topokd.paper import cost_tables, segmentation_tables
from topokd.paper.exhibits.exhibit import Figure, ReportSection, Table
from topokd.paper.exhibits.networks import ONE_SCAN

SECTION = ReportSection("segmentation", "Segmentation")

DECLARED = (
    Table(
        id="table1",
        section=SECTION,
        short="Table 1",
        title="Table 1. nuScenes, test: mIoU and IoU per class (%)",
        caption="LC, as printed: methods that use camera images as well as LiDAR. Dashes are the paper's. "
        "Measured: absent classes are left out.",
        stage="panels",
        layout="nuscenes",
        lines=segmentation_tables.table1,
        measured=segmentation_tables.all_terms("table1"),
        side="rows",
        corner="Method",
    ),
    Table(
        id="table2",
        section=SECTION,
        short="Table 2",
        title="Table 2. SemanticKITTI classes: mIoU and IoU per class (%)",
        caption="Reported: SemanticKITTI test server; dashes are the paper's. "
        "Measured: validation split of this profile (see above), mean "
        "over seeds with the half-width of the 95 % interval below; `absent`: no point of that class in the validation "
        "scans and none predicted (a class that is only predicted counts as 0.0). The last two columns are not in the "
        "paper: mIoU with absent classes counted the other way, as its heading says, and the share of points that are "
        "right.",
        stage="student",
        lines=segmentation_tables.table2,
        measured=segmentation_tables.all_terms("table2"),
        side="rows",
        corner="Method",
    ),
    Table(
        id="table3",
        section=SECTION,
        short="Table 3",
        title="Table 3. Size and speed",
        caption="Reported: frames per second on nuScenes, on a node with A100s; dashes are the paper's. "
        "Measured: teacher and student on this "
        "machine, one cloud at a time, the network alone.",
        stage="model_cost",
        data=ONE_SCAN,
        lines=cost_tables.table3,
        corner="Method",
    ),
    Table(
        id="table4",
        section=SECTION,
        short="Table 4",
        title="Table 4. Waymo Open Dataset: mIoU (%)",
        caption="L: LiDAR; LC: LiDAR and camera. Dashes are the paper's. Measured: absent classes are left out.",
        stage="panels",
        layout="waymo",
        lines=segmentation_tables.table4,
        measured=segmentation_tables.all_terms("table4"),
        side="rows",
        corner="Method",
    ),
    Figure(
        id="figure3",
        section=SECTION,
        short="Figure 3",
        title="Figure 3. Segmentation of one validation scan",
        caption="Ground truth and predictions of the first seed: from above, from behind the sensor, and errors "
        "against the ground truth (bottom). Points without a label are left out.",
        stage="evaluation",
        first_seed=True,
    ),
    Figure(
        id="classes",
        section=SECTION,
        short="IoU per class",
        title="IoU per class, measured",
        caption="Mean over seeds, most frequent class first; second panel: share of the labelled validation points "
        "(logarithmic). Classes absent from the scans are left out.",
        stage="evaluation",
    ),
    Figure(
        id="confusion",
        section=SECTION,
        short="Confusion matrix",
        title="Confusion matrix, measured",
        caption="Share of the points of each true class (row) predicted as each class (column), in percent: teacher "
        "and student of the first seed on the validation scans.",
        stage="evaluation",
        first_seed=True,
    ),
    Figure(
        id="breakdown",
        section=SECTION,
        short="Accuracy by range",
        title="Accuracy by range, distance to boundaries and class frequency, measured",
        caption="mIoU over the classes present in each part of the points: by distance to the sensor, by distance to "
        "the nearest point of another true class (boundary IoU counts those nearer than 0.2 m), and by the share of "
        "the class in the labelled points (frequent from 5 %, rare below 0.5 %). First seed.",
        stage="evaluation",
        first_seed=True,
    ),
)
