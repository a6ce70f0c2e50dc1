"""The topological loss: its diagrams, its cost, and checks of the theory."""

from __future__ import annotations

from topokd.paper import cost_tables, facts
from topokd.paper.exhibits.exhibit import Figure, ReportSection, Table

SECTION = ReportSection("topology", "Topology")

DECLARED = (
    Figure(
        id="figure4",
        section=SECTION,
        short="Figure 4",
        title="Figure 4. Filtration and barcode",
        caption="The Vietoris–Rips complex at growing scales, and the bars of the classes that are born and die on "
        "the way. A torus has one component, two loops and a void: in each degree the longest bars. The shorter "
        "ones are artefacts of the sampling and vanish as the sample gets denser.",
        stage="topology",
        data="a sampled torus",
        fact=facts.barcode,
    ),
    Table(
        id="table8",
        section=SECTION,
        short="Table 8",
        title="Table 8. Topological loss: time and peak memory over the number of points",
        caption="Forward and backward pass for the student's points; the teacher's diagrams are computed before the "
        "clock starts. Dashes are the paper's. naive: plain torch; giotto-ph (not in the paper): our layer with that "
        "engine; memory: the increase of the peak memory of a separate process.",
        stage="topology_cost",
        data="random clouds that resemble features: clusters of unit vectors in 64 dimensions, on this machine",
        lines=cost_tables.table8,
        side="rows",
        corner="N",
    ),
    Figure(
        id="figure5",
        section=SECTION,
        short="Figure 5",
        title="Figure 5. Cost of sampling",
        caption="Time to choose 128 points of a cloud: the farthest ones, and random ones.",
        stage="topology_cost",
        data="normally distributed points in 64 dimensions, on this machine",
        fact=facts.sampling_cost,
    ),
    Figure(
        id="figure6",
        section=SECTION,
        short="Figure 6",
        title="Figure 6. H1 against H2",
        caption="Time to compute persistence up to degree 1 and up to degree 2.",
        stage="topology_cost",
        data="uniformly distributed points in a cube, on this machine",
        fact=facts.homology_cost,
    ),
    Figure(
        id="figure7",
        section=SECTION,
        short="Figure 7",
        title="Figure 7. Logarithmic weights dampen noise",
        caption="(a) Gradient that each pair of a noisy circle receives, over its persistence: one loop, and noise. "
        "(b) Contribution of one noise pair to the loss while its persistence vanishes.",
        stage="topology",
        data="a noisy circle (a), diagrams of two pairs (b)",
        fact=facts.dampening,
    ),
    Figure(
        id="figure8",
        section=SECTION,
        short="Figure 8",
        title="Figure 8. Agreement of diagrams",
        caption="Persistence diagrams of the engine that the loss uses (rings) on those of an independent "
        "implementation (dots), on simple shapes.",
        stage="topology",
        data="simple shapes",
        fact=facts.agreement,
    ),
    Figure(
        id="proposition1",
        section=SECTION,
        short="Proposition 1",
        title="Proposition 1, measured",
        caption="Bottleneck distance between the diagrams of a farthest-point sample and of the whole cloud, against "
        "its bound, twice the covering radius.",
        stage="topology",
        data="simple shapes",
        fact=facts.proposition1,
    ),
)
