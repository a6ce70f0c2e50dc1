"""Tables 3, 5, 6 and 8: cost of the networks and of the topological loss, reported and measured.

Measured values come from ``model_cost.json`` (exact) and from ``timings/`` (this machine, marked ``varies = timing``);
`topokd.experiments.model_cost` and `topokd.experiments.topology_cost` document those files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from topokd.paper.lines import Line, frame, line, reported_lines
from topokd.paper.results import Results

ROLES = {"teacher": "Teacher", "student": "Student"}
ARCHITECTURE = (  # Table 5's row, the list in model_cost.json
    ("Encoder Depths", "enc_depths"),
    ("Encoder Channels", "enc_channels"),
    ("Encoder Attention Heads", "enc_num_head"),
    ("Decoder Depths", "dec_depths"),
    ("Decoder Channels", "dec_channels"),
    ("Decoder Attention Heads", "dec_num_head"),
)
OPERATIONS = (  # Table 6's row, the profiler's operations, their field, our unit, units per unit of the file
    ("MM_add (CUDA Mem)", ("aten::addmm",), "allocated_bytes", "MB", 1e-6),
    ("Idx (CUDA Memory)", ("aten::index", "aten::index_select"), "allocated_bytes", "MB", 1e-6),
    ("GELU (CUDA Memory)", ("aten::gelu",), "allocated_bytes", "MB", 1e-6),
    ("LN (CUDA Memory)", ("aten::native_layer_norm",), "allocated_bytes", "MB", 1e-6),
    ("MM_add (Self CPU Time)", ("aten::addmm",), "self_s", "ms", 1e3),
    ("MM_add (Self CUDA)", ("aten::addmm",), "device_self_s", "ms", 1e3),
)
DENSE = "without_attention"
FLOPS = (  # Table 5's row, part and kind in model_cost.json
    ("Encoder GFLOPs", "encoder", "total"),
    ("Decoder GFLOPs", "decoder", "total"),
    ("Attention Compute (Encoder)", "encoder", "attention"),
    # The paper's ratios of these rows are those without the two products inside attention: these compare with them.
    ("Encoder GFLOPs without attention's products", "encoder", DENSE),
    ("Decoder GFLOPs without attention's products", "decoder", DENSE),
    ("Attention's projections (Encoder)", "encoder", "projections"),
)
TIMING = "timing"


REASONS = {  # why measured cells stay empty, by table and row; "" is the reason for all other rows
    "table3": {"": "not our network"},
    "table5": {
        "Batch Inference Time": "one cloud at a time here",
        "Fixed Overhead": "not separated here",
        "Attention Mechanism": "torch, or Flash on a GPU",
        "Patch Size": "same",
        "Tokens counted on": "same input",
    },
    "table6": {
        "Alloc (CUDA Memory)": "no such CPU operation",
        "Infer (Self CPU Time)": "no such operation",
        "": "needs a GPU",
    },
}


def table3(results: Results) -> pd.DataFrame:
    """Parameters and frames per second."""
    lines = reported_lines("table3")
    cost, timing = results.records.get("model_cost"), results.records.get("timings/model_cost")
    rows = {"teacher": "PTv3 (Teacher)", "student": "Our Student"}
    for role, row in rows.items():
        if cost:
            model = cost["models"][role]
            lines.append(
                _line("table3", row, "Params (M)", "", results, model["parameters"]["total"] / 1e6)
                | {"note": f"preset {model['preset']}"}
            )
        if timing:
            lines.append(_line("table3", row, "FPS", "", results, timing["models"][role]["fps"], varies=TIMING))
    return _finish(lines, "table3", results, timing)


def table5(results: Results) -> pd.DataFrame:
    """Architecture, FLOPs and inference time of teacher and student, and their ratios."""
    lines = reported_lines("table5")
    cost, timing = results.records.get("model_cost"), results.records.get("timings/model_cost")
    if cost:
        lines += list(_architecture(results, cost))
    if timing:
        for row, field, unit in (("Inference Time (excl. overhead)", "latency_s", "s"), ("FPS", "fps", "")):
            for role, column in ROLES.items():
                value = timing["models"][role][field]
                lines.append(_line("table5", row, column, unit, results, value, varies=TIMING))
            ratio = timing["ratios"]["latency" if field == "latency_s" else "fps"]
            lines.append(_line("table5", row, "Comparison", "×", results, ratio, varies=TIMING))
    return _finish(lines, "table5", results, timing)


def _architecture(results: Results, cost: dict[str, Any]) -> Iterator[Line]:
    ratios, tokens = cost["ratios"], cost["tokens"]
    compared = {
        "Total Parameters": ratios["parameters"],
        "Encoder Depths": ratios["blocks_encoder"],
        "Decoder Depths": ratios["blocks_decoder"],
        **{row: ratios["flops"][part][kind] for row, part, kind in FLOPS},
    }
    for role, column in ROLES.items():
        model = cost["models"][role]
        flops = model["flops"]
        yield _line("table5", "Total Parameters", column, "", results, model["parameters"]["total"])
        for row, field in ARCHITECTURE:
            text = f"({', '.join(map(str, model['architecture'][field]))})"
            yield _line("table5", row, column, "", results) | {"printed": text}
            if role == "student" and row not in compared:
                lists = (cost["models"][name]["architecture"][field] for name in ROLES)
                ratios_of_stages = [a / b for a, b in zip(*lists, strict=True)]
                low, high = min(ratios_of_stages), max(ratios_of_stages)
                printed = f"{low:g}–{high:g}×" if high > low else f"{low:g}×"
                yield _line("table5", row, "Comparison", "×", results) | {"printed": printed}
        yield _line("table5", "Patch Size", column, "", results, model["architecture"]["patch_size"])
        for row, part, kind in FLOPS:
            count = flops[part]["total"] - flops[part]["attention"] if kind == DENSE else flops[part][kind]
            yield _line("table5", row, column, "", results, count / 1e9) | {"note": "GFLOPs; a multiply-add counts 2"}
        yield _line("table5", "Tokens counted on", column, "", results, tokens["voxels"])
    for row, ratio in compared.items():
        if ratio is not None:
            yield _line("table5", row, "Comparison", "×", results, ratio)


def table6(results: Results) -> pd.DataFrame:
    """Profiled operations of teacher and student, and their ratios."""
    lines = reported_lines("table6")
    timing = results.records.get("timings/model_cost")
    if timing:
        models = timing["models"]
        pairs = [("Total CPU Time", "ms", [1e3 * models[role]["cpu_time_s"] for role in ROLES])]
        if all("device_time_s" in models[role] for role in ROLES):
            pairs.append(("Total CUDA Time", "ms", [1e3 * models[role]["device_time_s"] for role in ROLES]))
        for row, names, field, unit, factor in OPERATIONS:
            profiled = (models[role]["operations"] for role in ROLES)
            counted = [[o[n] for n in names if n in o and field in o[n]] for o in profiled]
            if all(counted):
                pairs.append((row, unit, [factor * sum(f[field] for f in operations) for operations in counted]))
        pairs.append(
            ("Peak memory of live tensors", "MB", [1e-6 * models[role]["peak_memory_bytes"] for role in ROLES])
        )
        for row, unit, values in pairs:
            for column, value in zip(ROLES.values(), values, strict=True):
                lines.append(_line("table6", row, column, unit, results, value, varies=TIMING))
            if values[1]:
                lines.append(_line("table6", row, "Improvement", "×", results, values[0] / values[1], varies=TIMING))
    return _finish(lines, "table6", results, timing)


def table8(results: Results) -> pd.DataFrame:
    """Time and memory of the topological loss over the number of points."""
    lines = reported_lines("table8")
    timing = results.records.get("timings/topology_cost")
    for entry in (timing or {}).get("table8", []):
        row = str(entry["points"])
        for key, name in (("naive", "naive"), ("ours", "ours"), ("giotto_ph", "giotto-ph")):
            measured = entry.get(key)
            if not measured:
                continue
            for column, field, unit, factor in (
                (f"{name} forward", "forward_s", "s", 1.0),
                (f"{name} backward", "backward_s", "s", 1.0),
                (f"{name} memory", "peak_bytes", "MB", 1e-6),
            ):
                if measured.get(field) is not None:
                    value = factor * measured[field]
                    lines.append(_line("table8", row, column, unit, results, value, varies=TIMING))
        if not entry.get("naive"):
            for column in ("naive forward", "naive backward", "naive memory", "speed-up"):
                lines.append(_line("table8", row, column, "", results, varies=TIMING) | {"note": "too slow, not run"})
        if entry.get("speedup"):
            lines.append(_line("table8", row, "speed-up", "×", results, entry["speedup"], varies=TIMING))
    return _finish(lines, "table8", results, timing)


def _gaps(lines: list[Line], table: str, results: Results) -> Iterator[Line]:
    """The reason for each measured cell without a value."""
    reasons = REASONS.get(table, {})
    measured = [cell for cell in lines if cell["source"] == "measured"]
    filled = {(cell["row"], cell["column"]) for cell in measured}
    columns = dict.fromkeys(cell["column"] for cell in measured)
    for row in dict.fromkeys(cell["row"] for cell in lines) if reasons else ():
        for column in columns:
            reason = reasons.get(row, reasons.get("", ""))
            if (row, column) not in filled and reason:
                yield _line(table, row, column, "", results, varies=TIMING) | {"note": reason}


def _line(
    table: str, row: str, column: str, unit: str, results: Results, value: float | None = None, varies: str = ""
) -> Line:
    mean = float("nan") if value is None else value
    return line(table, row, column, unit, "measured", mean=mean, profile=results.profile, varies=varies)


def _finish(lines: list[Line], table: str, results: Results, timing: dict[str, Any] | None) -> pd.DataFrame:
    """The table, with a last line on how it was measured, or on the stage that measures it."""
    lines = [*lines, *_gaps(lines, table, results)] if timing else lines
    general = _line(table, "", "", "", results)
    if not timing:
        stage = "topology_cost" if table == "table8" else "model_cost"
        general |= {"note": f"not measured yet: run the stage `{stage}`", "n": 0}
        return frame([*lines, general])
    where = f"measured on {timing['device']}, {timing['threads']} {'thread' if timing['threads'] == 1 else 'threads'}"
    if "models" in timing:
        presets = " and ".join(model["preset"] for model in timing["models"].values())
        where += f", {timing['models']['teacher']['voxels']:,} voxels, presets {presets}"
    repeats = timing["repeats"]
    how = f"median of {repeats} runs" if repeats > 1 else "one run"
    how = "one profiled run" if table == "table6" else how
    where += f", {how}{', naive one run' if table == 'table8' and repeats > 1 else ''}"
    general |= {"note": where, "n": repeats, "varies": TIMING}
    return frame([*lines, general])
