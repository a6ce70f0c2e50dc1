"""Cost of teacher and student: Tables 5 and 6, Figure 1 b-d."""

from __future__ import annotations

from topokd.paper import cost_tables
from topokd.paper.exhibits.exhibit import Figure, ReportSection, Table

SECTION = ReportSection("networks", "Cost of the networks")
ONE_SCAN = "one validation scan in voxels of 0.05 m, random weights"

DECLARED = (
    Table(
        id="table5",
        section=SECTION,
        short="Table 5",
        title="Table 5. Teacher against student: architecture, operations, inference time",
        caption="FLOPs depend on the number of tokens, which the paper does not state: compare the ratios. Measured "
        "FLOPs count a multiplication or addition as one, on the tokens of the last line; times are for the voxels "
        "named below; decoder lists run from the finest stage to the coarsest.",
        stage="model_cost",
        data=ONE_SCAN,
        lines=cost_tables.table5,
        corner="Quantity",
    ),
    Table(
        id="table6",
        section=SECTION,
        short="Table 6",
        title="Table 6. Teacher against student: time and memory of operations",
        caption="Reported: PyTorch profiler on a GPU; a: operations of the attention blocks; b: a second run for "
        "memory gave 278.80 ms against 92.44 ms. Measured: the same operations in the same profiler on this machine; "
        "memory is the sum of their allocations, on the CPU where there is no GPU; `benchmarks/gpu.md` has the values "
        "of an NVIDIA H200.",
        stage="model_cost",
        data=ONE_SCAN,
        lines=cost_tables.table6,
        corner="Quantity",
    ),
    Figure(
        id="scaling",
        section=SECTION,
        short="Figure 1 b–d",
        title="Figure 1 b–d. FLOPs, time and memory over the number of tokens",
        caption="Measured on this machine with the networks of Table 5 (b: FLOPs of a forward pass; c: time; d: peak "
        "memory of live tensors; dashed: with the weights).",
        stage="model_cost",
        data="validation scans in voxels of 0.05 m, put side by side where one has too few, random weights",
        names=("figure1_scaling",),
    ),
)
