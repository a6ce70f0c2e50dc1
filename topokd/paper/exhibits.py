"""The paper's exhibits, in the words of the report: what each shows, who makes it, where its files are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from topokd.paper import cost_tables, segmentation_tables
from topokd.paper.results import Results


@dataclass(frozen=True)
class Exhibit:
    """A table (``lines`` computes it) or a figure (``files``: patterns below the figures folder)."""

    id: str
    title: str
    caption: str
    stage: str = "paper"  # the pipeline's stage that measures it
    lines: Callable[[Results], pd.DataFrame] | None = None
    side: Literal["rows", "columns"] = "columns"  # measured values: further rows, or columns beside the reported ones
    corner: str = ""
    files: tuple[str, ...] = ()


TABLES = (
    Exhibit(
        "table1",
        "Table 1. nuScenes, test: mIoU and IoU per class (%)",
        "LC, as printed: methods that use camera images beside LiDAR. Measured, where this profile has no nuScenes: "
        "the synthetic street world in nuScenes' layout, validation scenes, one seed, absent classes left out.",
        lines=segmentation_tables.table1,
        side="rows",
        corner="Method",
    ),
    Exhibit(
        "table2",
        "Table 2. SemanticKITTI classes: mIoU and IoU per class (%)",
        "Reported: SemanticKITTI test server. Measured: validation split of this profile (see above), "
        "mean over seeds with the half-width of the 95 % interval below; `absent`: the validation scans have no such "
        "point.",
        lines=segmentation_tables.table2,
        side="rows",
        corner="Method",
        stage="student",
    ),
    Exhibit(
        "table3",
        "Table 3. Size and speed",
        "Reported: frames per second on nuScenes, on a node with A100s. Measured: teacher and student on this "
        "machine, one cloud at a time, the network alone.",
        lines=cost_tables.table3,
        corner="Method",
        stage="model_cost",
    ),
    Exhibit(
        "table4",
        "Table 4. Waymo Open Dataset: mIoU (%)",
        "L: LiDAR; LC: LiDAR and camera. A dash is a dash in the paper. Measured, where this profile has no Waymo: the "
        "synthetic street world in Waymo's layout, validation segments, one seed, absent classes left out.",
        lines=segmentation_tables.table4,
        side="rows",
        corner="Method",
    ),
    Exhibit(
        "table5",
        "Table 5. Teacher against student: architecture, operations, inference time",
        "FLOPs depend on the number of tokens, which the paper does not state: compare the ratios. Measured FLOPs "
        "count a multiplication or addition as one; decoder lists run from the finest stage to the coarsest.",
        lines=cost_tables.table5,
        corner="Quantity",
        stage="model_cost",
    ),
    Exhibit(
        "table6",
        "Table 6. Teacher against student: time and memory of operations",
        "Reported: PyTorch's profiler on a GPU; a: operations of the attention blocks; b: a second run made for memory "
        "gave 278.80 ms against 92.44 ms. Measured: the same operations in the same profiler on this machine; "
        "memory is what their calls allocate, on the CPU where there is no GPU.",
        lines=cost_tables.table6,
        corner="Quantity",
        stage="model_cost",
    ),
    Exhibit(
        "table7",
        "Table 7. Ablation of the loss terms: mIoU (%)",
        "All rows have cross-entropy. Gains are in points of mIoU: reported ones are differences of the printed cells, "
        "measured ones are paired by seed, with the half-width of their 95 % interval. Teacher and student without KD "
        "are not rows of the paper's table.",
        lines=segmentation_tables.table7,
        corner="Trained with",
        stage="student",
    ),
    Exhibit(
        "table8",
        "Table 8. Topological loss: time and peak memory over the number of points",
        "Forward and backward pass. The measured naive baseline (plain torch) runs up to "
        "`benchmark.naive_max_points`; giotto-ph is our layer on that engine; memory is how far the process grew.",
        lines=cost_tables.table8,
        corner="N",
        stage="topology_cost",
    ),
)

FIGURES = (
    Exhibit(
        "figure1",
        "Figure 1 a. Accuracy, speed and size at a glance",
        "Left: the paper's Tables 1 to 4; further out is better on every spoke, a polygon with a gap lacks that value. "
        "Right: this profile; parameters in place of speed, since timings change from run to run.",
        files=("figure1.png",),
    ),
    Exhibit(
        "scaling",
        "Figure 1 b–d. FLOPs, time and memory over the number of tokens",
        "Measured on this machine with the networks of Table 5 (b: FLOPs of a forward pass; c: time; d: peak memory of "
        "live tensors).",
        stage="model_cost",
        files=("figure1_scaling.png",),
    ),
    Exhibit(
        "figure2",
        "Figure 2. The framework",
        "The frozen teacher (above) guides the student (below) in three ways: saliency maps of every encoder stage, "
        "persistence diagrams of the last one, and softened class scores; cross-entropy with the labels is the fourth "
        "term of Eq. 8. Rows of teacher and student are matched voxel by voxel.",
        files=("figure2.png",),
    ),
    Exhibit(
        "figure3",
        "Figure 3. Segmentation of one validation scan",
        "Ground truth, teacher, student with all terms, student without KD: from above, from behind the sensor, and "
        "below where each differs from the ground truth. First seed; points without a label are left out.",
        stage="evaluation",
        files=("figure3.png",),
    ),
    Exhibit(
        "figure4",
        "Figure 4. Filtration and barcode",
        "The Vietoris–Rips complex as its scale grows, and the bars of the classes that are born and die on the way.",
        stage="topology",
        files=("figure4.png",),
    ),
    Exhibit(
        "figure5",
        "Figure 5. Cost of sampling",
        "Farthest point sampling of 128 points grows linearly with the size of the cloud; random sampling does not.",
        stage="topology_cost",
        files=("figure5.png",),
    ),
    Exhibit(
        "figure6",
        "Figure 6. H1 against H2",
        "Time to compute persistence up to dimension 1 and up to dimension 2.",
        stage="topology_cost",
        files=("figure6.png",),
    ),
    Exhibit(
        "figure7",
        "Figure 7. Logarithmic weights dampen noise",
        "Size of the gradient that a pair receives, over its persistence.",
        stage="topology",
        files=("figure7.png",),
    ),
    Exhibit(
        "figure8",
        "Figure 8. Agreement of diagrams",
        "Persistence diagrams of our engines beside an independent implementation, on simple shapes.",
        stage="topology",
        files=("figure8.png",),
    ),
    Exhibit(
        "proposition1",
        "Proposition 1, measured",
        "Bottleneck distance between the diagrams of a farthest-point sample and of the whole cloud, against twice the "
        "covering radius, which bounds it.",
        stage="topology",
        files=("proposition1.png",),
    ),
    Exhibit(
        "classes",
        "IoU per class, measured",
        "Mean over seeds, most frequent class first; right: share of the labelled validation points (logarithmic). "
        "Classes that the scans do not hold are left out.",
        stage="evaluation",
        files=("classes.png",),
    ),
    Exhibit(
        "confusion",
        "Confusion of the classes, measured",
        "Of the points of each true class (row) the share that was given each class (column), in percent: teacher and "
        "student of the first seed on the validation scans.",
        stage="evaluation",
        files=("confusion.png",),
    ),
    Exhibit(
        "breakdown",
        "Where the networks are right, measured",
        "mIoU over the classes that each part of the points holds: by distance to the sensor, by distance to the "
        "nearest point of another true class (boundary IoU counts those nearer than 0.2 m), and by the class's share "
        "of the labelled points (frequent from 5 %, rare below 0.5 %). First seed.",
        stage="evaluation",
        files=("breakdown.png",),
    ),
    Exhibit(
        "ablation",
        "Gains of the loss terms, measured beside reported",
        "Left: every seed, mean and 95 % interval. Right: gain over KD alone, paired by seed; open markers are the "
        "differences of the paper's Table 7, which come without intervals.",
        stage="paper",
        files=("ablation.png",),
    ),
    Exhibit(
        "validation",
        "Validation while training",
        "mIoU on a few scans of the validation split: mean over seeds, band from the lowest to the highest seed.",
        stage="paper",
        files=("validation.png",),
    ),
    Exhibit(
        "data",
        "What the networks see",
        "Frequencies of classes and of distances, and scans of this profile.",
        stage="data",
        files=("data_statistics.png", "data_scan.png", "data_scans.png"),
    ),
)
