"""The page of benchmarks/models.py, from its record."""

from __future__ import annotations

from typing import Any

from report import Rows, table

from topokd.experiments.model_cost import PAPER_VOXEL_SIZE

ARITHMETIC = {"off": "float32", "bf16": "bfloat16 (autocast)", "fp16": "float16 (autocast)"}


def _where(rows: Rows) -> str:
    first = rows[0]
    words = [f"{first['voxels']:,} voxels ({first['scan']})", _processor(first)]
    if first.get("amp", "off") != "off":
        words.append(ARITHMETIC[first["amp"]])
    return f"{', '.join(words)}, medians of {first['repeats']}, interleaved."


def _processor(row: dict[str, Any]) -> str:
    return "one thread" if row.get("device", "cpu") == "cpu" else "on the GPU"


def speed_page(rows: Rows) -> list[str]:
    body = []
    for row in rows:
        faster, less = row["recipe_s"] / row["ours_s"], row["recipe_bytes"] / row["ours_bytes"]
        cells = [row["network"], row["work"], row["recipe"], f"**{faster:.2f}**", f"{row['bar'] or ''}"]
        cells += [f"{row['recipe_s']:.3f}", f"{row['ours_s']:.3f}", f"**{less:.1f}**"]
        body.append([*cells, f"{row['recipe_bytes'] / 1e6:.0f}", f"{row['ours_bytes'] / 1e6:.0f}"])
    head = ["network", "work", "recipe's convolution", "times faster", "aim", "recipe (s)", "ours (s)"]
    head += ["times less memory", "recipe (MB)", "ours (MB)"]
    return ["## Time and memory", "", f"{_where(rows)} The aim for memory is 3.", "", *table(head, body)]


def levers_page(rows: Rows) -> list[str]:
    body = []
    for row in rows:
        cells = [row["network"], row["change"], f"**{row['plain_s'] / row['changed_s']:.2f}**"]
        cells += [f"{1e3 * row[key]:.1f}" for key in ("plain_s", "changed_s")]
        body.append(cells + [f"{row[k] / 1e6:.0f}" if k in row else "" for k in ("plain_bytes", "changed_bytes")])
    head = ["network", "change", "times faster", "without (ms)", "with (ms)", "without (MB)", "with (MB)"]
    return ["## Other options on a CPU", "", f"Forward passes. {_where(rows)}", "", *table(head, body)]


def accuracy_page(rows: Rows) -> list[str]:
    exact = rows[0]["miou"]
    body = [[r["arithmetic"], f"{100 * r['miou']:.2f}", f"{100 * (r['miou'] - exact):+.2f}"] for r in rows]
    text = (
        f"{rows[0]['network']}, the small student that the default profile trains, not the paper's; {rows[0]['scans']} "
        f"validation scans, mIoU in percent. At {100 * exact:.1f} % differences of hundredths say little."
    )
    return ["## Accuracy in fewer bits", "", text, "", *table(["arithmetic", "mIoU", "change"], body)]


def flops_page(rows: Rows) -> list[str]:
    kinds = [
        f"{part} {kind}" for kind in ("without_attention", "projections", "total") for part in ("encoder", "decoder")
    ]
    counts = [f"{role} {part} multiply-adds" for part in ("encoder", "decoder") for role in ("teacher", "student")]
    body = [
        [r["scan"], f"{r['voxels']:,}", *(f"{r[k]:.2f}" for k in kinds), *(f"{r[k] / 1e9:.2f}" for k in counts)]
        for r in rows
    ]
    head = ["scan", "voxels", *(kind.replace("_", " ") for kind in kinds)]
    head += [f"{role} {part} (G)" for part in ("encoder", "decoder") for role in ("teacher", "student")]
    return [
        "## Operations, teacher over student",
        "",
        f"Whole scans in voxels of {PAPER_VOXEL_SIZE} m. Ratios first; the last columns are billions of multiply-adds "
        "without the products inside attention.",
        "",
        *table(head, body),
    ]


def export_page(rows: Rows) -> list[str]:
    body = []
    for row in rows:
        cells = [row["format"], f"{row['difference']:.1e}", f"{row['file_bytes'] / 1e6:.1f}", f"{row['write_s']:.1f}"]
        body.append(cells + [f"{1e3 * row[key]:.0f}" for key in ("integers_s", "graph_s", "network_s")])
    head = ["format", "largest difference of logits", "file (MB)", "to write (CPU s)", "integers (ms)", "graph (ms)"]
    text = (
        f"{rows[0]['network']}, random weights, {_where(rows)} The largest logit is {rows[0]['largest_logit']:.2f}. A "
        "forward pass of the file is the integers, which Python computes, and the graph; the network does both."
    )
    return ["## Export", "", text, "", *table([*head, "network (ms)"], body)]


def frame_page(rows: Rows) -> list[str]:
    first, body = rows[0], []
    for row in rows:
        cells = [ARITHMETIC[row["amp"]], *(f"{row[key]:.2f}" for key in ("latency_s", "cpu_s"))]
        body.append(cells + [f"{row[f'{k}_bytes'] / 1e6:.0f}" for k in ("peak_tensor", "weight", "process")])
    head = [
        "arithmetic",
        "latency (s)",
        "CPU time of one run (s)",
        "tensors at the peak (MB)",
        "weights (MB)",
        "whole process (MB)",
    ]
    text = (
        f"{first['network']}, random weights, {_processor(first)}: a scan of {first['points']:,} points "
        f"({first['scan']}), {first['voxels']:,} voxels of {PAPER_VOXEL_SIZE} m. Latency (median of "
        f"{first['repeats']}) and memory as `topokd predict --measure` takes them, each row in a separate process; "
        "the clock also counts waiting for other work on the machine, CPU time does not."
    )
    return ["## From a scan on disk to labels", "", text, "", *table(head, body)]


PAGES = {
    "speed": speed_page,
    "levers": levers_page,
    "accuracy": accuracy_page,
    "flops": flops_page,
    "export": export_page,
    "frame": frame_page,
}
"""What writes the section of each part, in the order of the page."""
