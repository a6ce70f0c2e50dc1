"""The page of benchmarks/gpu.py, from its record."""

from __future__ import annotations

from pathlib import Path

from report import Rows, table

from topokd import params as P
from topokd.experiments.model_cost import PAPER_VOXEL_SIZE
from topokd.paper.exhibits import tables
from topokd.paper.render import table_grid
from topokd.paper.results import Results

ROLES = ("teacher", "student")


def cost_page(rows: Rows) -> list[str]:
    body = []
    for row in rows:
        cost = row["timings"]
        one, two = (cost["models"][role] for role in ROLES)
        cells = [row["scan"], f"{one['voxels']:,}", row["arithmetic"], f"**{cost['ratios']['latency']:.2f}**"]
        cells += [f"**{cost['ratios']['peak_memory']:.2f}**"]
        cells += [f"{1e3 * m['latency_s']:.1f}" for m in (one, two)]
        cells += [f"{m['fps']:.1f}" for m in (one, two)] + [f"{m['peak_memory_bytes'] / 1e6:.0f}" for m in (one, two)]
        body.append(cells + [f"{cost['frame']['fps'][role]:.1f}" for role in ROLES])
    head = ["scan", "voxels", "arithmetic", "times faster", "times less memory", "teacher (ms)", "student (ms)"]
    head += ["teacher (scans/s)", "student (scans/s)", "teacher (MB)", "student (MB)"]
    head += ["teacher, points to points (scans/s)", "student, points to points (scans/s)"]
    timings = rows[0]["timings"]
    text = f"One scan at a time, voxels of {PAPER_VOXEL_SIZE} m; medians of {timings['repeats']}. The last columns go "
    text += "from points in memory to a class for each"
    if "repeats" in timings["frame"]:  # older rows say it in the note
        text += f", medians of {timings['frame']['repeats']} too"
    lines = ["## Forward pass on whole scans", "", f"{text}.", "", *table(head, body)]
    chosen = next((row for row in reversed(rows) if row["arithmetic"] == "bfloat16"), rows[0])
    lines += [
        "",
        "## Figure 1 b-d",
        "",
        f"{chosen['arithmetic']}; the nearest voxels of a scan, or of scans side by side.",
        "",
    ]
    head = ["voxels", "times faster", "times less memory", "teacher (ms)", "student (ms)", "teacher (MB)"]
    body = []
    for point in chosen["timings"]["scaling"]:
        seconds, memory = point["latency_s"], point["peak_memory_bytes"]
        cells = [f"{point['voxels']:,}", f"**{seconds['teacher'] / seconds['student']:.2f}**"]
        cells += [f"**{memory['teacher'] / memory['student']:.2f}**"]
        cells += [f"{1e3 * seconds[role]:.1f}" for role in ROLES]
        body.append(cells + [f"{memory[role] / 1e6:.0f}" for role in ROLES])
    lines += table([*head, "student (MB)"], body)
    records = {"model_cost": chosen["model_cost"], "timings/model_cost": chosen["timings"]}
    results = Results(Path(), P.Params(), {}, records)
    for exhibit in tables():
        if exhibit.id in ("table3", "table5", "table6"):
            shown = table_grid(exhibit, results)
            lines += [
                "",
                f"## {exhibit.title}",
                "",
                f"{exhibit.caption} Here: {chosen['scan']}, {chosen['arithmetic']}.",
            ]
            lines += ["", shown.markdown(exhibit.corner)]
    return lines


def recipe_page(rows: Rows) -> list[str]:
    body = []
    for row in rows:
        faster, less = row["recipe_s"] / row["ours_s"], row["recipe_bytes"] / row["ours_bytes"]
        cells = [row["network"], row["work"], row["arithmetic"], f"**{faster:.2f}**", f"**{less:.2f}**"]
        cells += [f"{1e3 * row[key]:.1f}" for key in ("recipe_s", "ours_s")]
        body.append(cells + [f"{row[key] / 1e6:.0f}" for key in ("recipe_bytes", "ours_bytes")])
    head = ["network", "work", "arithmetic", "times faster", "times less memory", "recipe (ms)", "ours (ms)"]
    return [
        "## Beside the published recipe without its CUDA packages",
        "",
        f"{rows[0]['voxels']:,} voxels ({rows[0]['scan']}), medians of {rows[0]['repeats']}, interleaved. The recipe "
        "convolves by gather, GEMM and scatter-add in torch and writes attention out; with spconv and flash-attn, "
        "which were not installed, it is faster than here.",
        "",
        *table([*head, "recipe (MB)", "ours (MB)"], body),
    ]


def levers_page(rows: Rows) -> list[str]:
    body = []
    for row in rows:
        cells = [row["change"], row["arithmetic"], f"**{row['plain_s'] / row['changed_s']:.2f}**"]
        cells += [f"{1e3 * row[key]:.2f}" for key in ("plain_s", "changed_s")]
        body.append(cells + [f"{row[key] / 1e6:.0f}" for key in ("plain_bytes", "changed_bytes")])
    head = ["change", "arithmetic", "times faster", "without (ms)", "with (ms)", "without (MB)", "with (MB)"]
    text = f"{rows[0]['voxels']:,} voxels ({rows[0]['scan']}), medians of {rows[0]['repeats']}, interleaved."
    return ["## One choice at a time", "", text, "", *table(head, body)]


def sampling_page(rows: Rows) -> list[str]:
    body = []
    for r in rows:
        kernel = f"{1e3 * r['kernel_s']:.0f}" if "kernel_s" in r else ""
        times = [f"{1e3 * r['gpu_s']:.0f}", kernel, f"{1e3 * r['cpu_s']:.0f}"]
        body.append([f"{r['points']:,} x {r['channels']}", *times, str(r["same"])])
    text = (
        f"1,024 points of each of {rows[0]['clouds']} clouds on the GPU, step by step, and as one Triton kernel where "
        f"that was measured and the matrices of distances fit; the CPU's way copies them to {rows[0]['threads']} "
        "threads and the indices back."
    )
    head = ["points x channels", "GPU (ms)", "one kernel (ms)", "CPU (ms)", "same points"]
    return ["## Farthest point sampling", "", text, "", *table(head, body)]


def step_page(rows: Rows) -> list[str]:
    body = []
    for row in rows:
        cells = [row["job"], f"{1e3 * row['step_s']:.0f}", f"{row['clouds'] / row['step_s']:.1f}"]
        body.append([*cells, f"{row['peak_bytes'] / 1e9:.1f}"])
    first = rows[0]
    mode = ", topokd's deterministic mode" if first.get("deterministic") else ""
    return [
        "## Training steps",
        "",
        f"Batches and losses of the profile semantickitti: {first['clouds']} whole scans, {first['voxels']:,.0f} "
        f"voxels on average, {first['arithmetic']}, M = 1024; {first['threads']} CPU threads{mode}; medians of "
        f"{first['steps']} steps. By itself the loader with {first['workers']} workers gives "
        f"{first['loader_scans_per_s']:.0f} scans/s.",
        "",
        *table(["training of", "step (ms)", "scans/s", "peak memory (GB)"], body),
    ]


PAGES = {
    "cost": cost_page,
    "recipe": recipe_page,
    "levers": levers_page,
    "sampling": sampling_page,
    "step": step_page,
}
"""What writes the section of each part, in the order of the page."""
