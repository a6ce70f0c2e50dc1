"""The framework and how its networks compare at a glance."""

from __future__ import annotations

from topokd.paper import figures
from topokd.paper.exhibits.exhibit import Figure, Section

SECTION = Section("framework", "The framework")

DECLARED = (
    Figure(
        id="figure2",
        section=SECTION,
        short="Figure 2",
        title="Figure 2. The framework",
        caption="The frozen teacher (top) guides the student (bottom) in three ways: saliency maps of every encoder "
        "stage, persistence diagrams of the last stage, and softened class scores. Cross-entropy with the labels is "
        "the fourth term of Eq. 8. Rows of teacher and student are matched voxel by voxel.",
        draw=figures.framework_figure,
    ),
    Figure(
        id="figure1",
        section=SECTION,
        short="Figure 1 a",
        title="Figure 1 a. Accuracy, speed and size at a glance",
        caption="Left: the paper's Tables 1 to 4; farther out is better on every spoke, a gap is a missing value. "
        "Right: this profile, with parameters in place of speed because timings vary from run to run.",
        draw=figures.radar_figure,
    ),
)
