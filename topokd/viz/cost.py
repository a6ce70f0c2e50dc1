"""Figure 1 b-d: growth of operations, latency and memory with the number of tokens."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from topokd.viz.style import STUDENT, TEACHER, use_style

_ROLES = (("teacher", TEACHER, "o"), ("student", STUDENT, "s"))


def plot_scaling(cost: dict[str, Any], timings: dict[str, Any]) -> Figure:
    """Three panels from the two files of notebook 70 (`topokd.experiments.model_cost` documents them).

    Examples:
        >>> cost = {"scaling": [{"voxels": 1000, "flops": {"teacher": 4e9, "student": 1e9}}]}
        >>> point = {"voxels": 1000, "latency_s": {"teacher": 2.0, "student": 1.0}}
        >>> point["peak_memory_bytes"] = {"teacher": 4e7, "student": 1e7}
        >>> models = {"teacher": {"weight_bytes": 10**7}, "student": {"weight_bytes": 10**6}}
        >>> timings = {"scaling": [point], "models": models, "device": "CPU", "threads": 1}
        >>> [axes.get_ylabel() for axes in plot_scaling(cost, timings).axes]
        ['GFLOPs', 'latency (s)', 'peak memory (MB)']
    """
    use_style()
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.2))
    _panel(axes[0], cost["scaling"], "flops", 1e-9, "GFLOPs")
    _panel(axes[1], timings["scaling"], "latency_s", 1.0, "latency (s)")
    _panel(axes[2], timings["scaling"], "peak_memory_bytes", 1e-6, "peak memory (MB)")
    for role, colour, _ in _ROLES:
        tokens = [point["voxels"] for point in timings["scaling"]]
        weights = timings["models"][role]["weight_bytes"]
        whole = [(point["peak_memory_bytes"][role] + weights) * 1e-6 for point in timings["scaling"]]
        axes[2].plot(tokens, whole, "--", color=colour, label=f"{role}, with its weights")
    axes[2].legend(handles=axes[2].lines[2:4], fontsize=8.5)
    for panel, title in zip(axes, ("(b) operations", "(c) time", "(d) memory"), strict=True):
        panel.set_title(title, loc="left")
    axes[0].legend()
    threads = timings["threads"]
    figure.suptitle(f"{timings['device']}, {threads} thread{'s' if threads > 1 else ''}", fontsize=9)
    plt.close(figure)
    return figure


def _panel(panel: Axes, points: list[dict[str, Any]], key: str, scale: float, label: str) -> None:
    for role, colour, marker in _ROLES:
        tokens = [point["voxels"] for point in points]
        panel.plot(tokens, [point[key][role] * scale for point in points], marker=marker, color=colour, label=role)
    panel.set(xscale="log", yscale="log", xlabel="tokens (voxels)", ylabel=label)
    for axis in (panel.xaxis, panel.yaxis):  # 1000 and 0.1 are read more easily than powers of ten
        axis.set_major_formatter("{x:g}")
