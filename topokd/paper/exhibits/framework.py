"""The framework and how its networks compare at a glance."""

from __future__ import annotations

from topokd.paper import facts, figures
from topokd.paper.exhibits.exhibit import Figure, ReportSection

SECTION = ReportSection("framework", "The framework")

DECLARED = (
    Figure(
        id="figure1",
        section=SECTION,
        short="Figure 1 a",
        title="Figure 1 a. Accuracy, speed and size at a glance",
        caption="Above: the paper's Tables 1 to 4; a dash is a missing value; axes of mIoU do not start at zero. "
        "Below: mean over seeds of this profile with its 95 % interval; speed is in Tables 3 and 5 because timings "
        "vary from run to run.",
        draw=figures.glance_figure,
    ),
    Figure(
        id="figure2",
        section=SECTION,
        short="Figure 2",
        title="Figure 2. The framework",
        caption="The frozen teacher (top) guides the student (bottom) in three ways: saliency maps of every encoder "
        "stage, persistence diagrams of the last stage, and softened class scores. Cross-entropy with the labels is "
        "the fourth term of Eq. 8. "
        "Decoder stages also read the encoder (skip connections). Rows of both networks are matched by voxel. "
        "Numbers of blocks and parameters, and the stage of the diagrams, are those of the paper's networks.",
        data="none, the paper's networks",
        draw=figures.framework_figure,
        fact=facts.topological_stage,
    ),
)
