"""Tables and sentences about the two documents for readers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

KIND_WITHOUT_ATTENTION = "without_attention"


def parameters_table(cost: Mapping[str, Any]) -> pd.DataFrame:
    """Parameters of each module of teacher and student, and their ratio.

    Args:
        cost: the document of `count.count_cost`.

    Returns:
        A row per module: ratio, teacher, student.

    Examples:
        >>> cost = {"models": {"teacher": {"modules": {"embedding": 300}}, "student": {"modules": {"embedding": 200}}}}
        >>> parameters_table(cost).loc["embedding"].tolist()
        [1.5, 300.0, 200.0]
    """
    modules = pd.DataFrame({role: pd.Series(model["modules"]) for role, model in cost["models"].items()})
    modules.insert(0, "ratio", (modules["teacher"] / modules["student"]).round(2))
    return modules


def flops_table(cost: Mapping[str, Any], reported: Mapping[tuple[str, str], float]) -> pd.DataFrame:
    """FLOPs of encoder and decoder by kind in GFLOPs, and their ratios next to the paper's.

    Args:
        cost: the document of `count.count_cost`.
        reported: ratios of the paper by (part, kind).

    Returns:
        A row per part and kind: measured and reported ratio, teacher, student.

    Examples:
        >>> counts = {"linear": 4_000_000_000, "attention": 0, "total": 4_000_000_000}
        >>> models = {role: {"flops": {"encoder": counts, "decoder": counts}} for role in ("teacher", "student")}
        >>> cost = {"models": models, "ratios": {"flops": {"encoder": {"linear": 1.0}, "decoder": {"linear": 1.0}}}}
        >>> flops_table(cost, {("encoder", "linear"): 3.0}).loc["encoder, linear"].tolist()
        [1.0, 3.0, 4.0, 4.0]
    """
    rows = {}
    for part in ("encoder", "decoder"):
        counts = {role: model["flops"][part] for role, model in cost["models"].items()}
        for kind, ratio in cost["ratios"]["flops"][part].items():
            rows[f"{part}, {kind.replace('_', ' ')}"] = {
                "ratio": ratio,
                "reported ratio": reported.get((part, kind)),
                "teacher (GFLOPs)": _gflops(counts["teacher"], kind),
                "student (GFLOPs)": _gflops(counts["student"], kind),
            }
    return pd.DataFrame(rows).T.astype(float).round(2)


def _gflops(counts: Mapping[str, int], kind: str) -> float:
    without = counts["total"] - counts["attention"]
    return (without if kind == KIND_WITHOUT_ATTENTION else counts[kind]) / 1e9


def cost_sentence(cost: Mapping[str, Any]) -> str:
    """Sentences on the sizes and FLOPs of teacher and student.

    Args:
        cost: the document of `count.count_cost`.

    Returns:
        The sentences, as Markdown.

    Examples:
        >>> part = {"total": 4.0, "without_attention": 5.0}
        >>> models = {role: {"parameters": {"total": n}} for role, n in {"teacher": 6000, "student": 2000}.items()}
        >>> ratios = {"parameters": 3.0, "flops": {"encoder": part, "decoder": part}}
        >>> cost_sentence({"models": models, "ratios": ratios, "tokens": {"voxels": 90}})
        'The teacher has 6,000 parameters, the student 2,000: 3.0 times fewer. On 90 voxels ...'
    """
    parameters = {role: model["parameters"]["total"] for role, model in cost["models"].items()}
    ratios, flops = cost["ratios"], cost["ratios"]["flops"]
    return (
        f"The teacher has {parameters['teacher']:,} parameters, the student {parameters['student']:,}: "
        f"{ratios['parameters']:.1f} times fewer. On {cost['tokens']['voxels']:,} voxels its encoder needs "
        f"{flops['encoder']['total']:.1f} times fewer operations ({flops['encoder'][KIND_WITHOUT_ATTENTION]:.1f} times "
        f"without the products inside attention), its decoder {flops['decoder']['total']:.1f} "
        f"({flops['decoder'][KIND_WITHOUT_ATTENTION]:.1f}) times. Both networks use patches of the same size, so the "
        "cost of attention falls only with channels and blocks."
    )


def timing_sentence(timings: Mapping[str, Any]) -> str:
    """Sentences on the latency and memory of teacher and student.

    Args:
        timings: the document of `measure.measure_cost`.

    Returns:
        The sentences, as Markdown.

    Examples:
        >>> timings = {"device": "cpu", "threads": 1, "models": {"student": {"voxels": 90}}}
        >>> ratios = {"latency": 2.5, "peak_memory": 1.5, "peak_memory_with_weights": 1.8}
        >>> frame = {"points": 100, "voxel_size": 0.1, "seconds": {"teacher": 0.5, "student": 0.2}}
        >>> timing_sentence(timings | {"ratios": ratios, "frame": frame})
        "On cpu with 1 thread the student's forward pass is 2.5 times faster than the teacher's (90 voxels) ..."
    """
    ratios, frame, threads = timings["ratios"], timings["frame"], timings["threads"]
    return (
        f"On {timings['device']} with {threads} thread{'' if threads == 1 else 's'} the student's forward pass is "
        f"{ratios['latency']:.1f} times faster than the teacher's ({timings['models']['student']['voxels']:,} voxels) "
        f"and needs {ratios['peak_memory_with_weights']:.1f} times less memory with the weights, "
        f"{ratios['peak_memory']:.1f} times less without: both decoders end equally wide. A whole scan of "
        f"{frame['points']:,} points, from points to a class for each, takes {frame['seconds']['student']:.2f} s "
        f"instead of {frame['seconds']['teacher']:.2f} s in voxels of {frame['voxel_size']} m."
    )
