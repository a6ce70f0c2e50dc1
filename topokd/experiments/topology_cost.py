"""What the topological layer costs: Table 8, Figure 5, Figure 6."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from topokd.experiments.shapes import features, uniform
from topokd.params import Benchmark
from topokd.progress import Progress
from topokd.topology.chamfer import persistence_weighted_chamfer
from topokd.topology.persistence import Engine, vietoris_rips
from topokd.topology.sampling import farthest_point_sampling

SAMPLED = 128  # M of Figure 5
CHANNELS = 64


def measure_topology_cost(bench: Benchmark, seed: int = 0) -> dict[str, Any]:
    """The document ``results/<profile>/timings/topology_cost.json``; in seconds, medians over ``bench.repeats`` runs.

    ::

        {"device": "CPU", "threads": int, "repeats": int, "channels": int,
         "table8":   [{"points": n, "naive": cost or null, "ours": cost, "giotto_ph": cost,
                       "speedup": naive's forward + backward over ours, or null}],
         "sampling": [{"points": N, "kept": 128, "farthest_s": t, "random_s": t}],           # Figure 5
         "homology": [{"points": n, "h1_s": t, "h2_s": t}]}                                   # Figure 6, through
         giotto-ph

    with ``cost = {"forward_s", "backward_s", "peak_bytes"}``: features -> diagrams (degrees 0, 1) -> PWCD, then
    gradients of the features; ``peak_bytes`` is how far the process's memory rose meanwhile (null where the system
    does not tell). Everything runs once unmeasured first (NOTES row 15).
    """
    document: dict[str, Any] = {
        "device": "CPU",
        "threads": torch.get_num_threads(),
        "repeats": bench.repeats,
        "channels": CHANNELS,
        "table8": [],
        "sampling": [],
        "homology": [],
    }
    rng = np.random.default_rng(seed)
    layer_cost(features(20, rng), features(20, rng), "reference", 1)
    for n in Progress(sorted(bench.topology_points), "Table 8"):
        teacher, student = features(n, rng, CHANNELS), features(n, rng, CHANNELS)
        naive = layer_cost(teacher, student, "reference", 1) if n <= bench.naive_max_points else None
        ours = layer_cost(teacher, student, "auto", bench.repeats)
        giotto = layer_cost(teacher, student, "giotto-ph", bench.repeats)
        speedup = _total(naive) / _total(ours) if naive else None
        document["table8"].append({"points": n, "naive": naive, "ours": ours, "giotto_ph": giotto, "speedup": speedup})
    for n in Progress(sorted(bench.sampling_points), "Figure 5"):
        points = torch.from_numpy(rng.standard_normal((n, CHANNELS), dtype=np.float32))
        document["sampling"].append(
            {
                "points": n,
                "kept": SAMPLED,
                "farthest_s": _median(partial(farthest_point_sampling, points, SAMPLED), bench.repeats),
                "random_s": _median(partial(_random_sample, points, SAMPLED, rng), bench.repeats),
            }
        )
    for n in Progress(sorted(bench.h2_points), "Figure 6"):
        cloud = uniform(n, rng)
        row: dict[str, Any] = {"points": n}
        for dim in (1, 2):
            row[f"h{dim}_s"] = _median(partial(vietoris_rips, cloud, max_dim=dim, engine="giotto-ph"), bench.repeats)
        document["homology"].append(row)
    return document


def layer_cost(teacher: np.ndarray, student: np.ndarray, engine: Engine, repeats: int) -> dict[str, Any]:
    """Forward and backward time and memory of the loss between one teacher's diagrams and student's features (n, c)."""
    reference = vietoris_rips(torch.from_numpy(teacher)).diagrams
    forward, backward, peaks = [], [], []
    for run in range(repeats + (repeats > 1)):  # the first of several runs warms up
        x = torch.from_numpy(student).float().requires_grad_(True)
        gc.collect()
        before = _reset_peak()
        start = time.perf_counter()
        loss = torch.stack(
            [
                persistence_weighted_chamfer(a.float(), b)
                for a, b in zip(reference, vietoris_rips(x, engine=engine).diagrams, strict=True)
            ]
        ).sum()
        middle = time.perf_counter()
        loss.backward()
        end = time.perf_counter()
        peaks.append(_peak() - before if before is not None else None)
        if run > 0 or repeats == 1:
            forward.append(middle - start)
            backward.append(end - middle)
    measured = [peak for peak in peaks if peak is not None]
    return {
        "forward_s": statistics.median(forward),
        "backward_s": statistics.median(backward),
        "peak_bytes": max(measured) if measured else None,
    }


def _total(cost: dict[str, Any]) -> float:
    return cost["forward_s"] + cost["backward_s"]


def _random_sample(points: torch.Tensor, m: int, rng: np.random.Generator) -> torch.Tensor:
    return points[torch.from_numpy(rng.choice(len(points), m, replace=False))]


def _median(work: Callable[[], Any], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _reset_peak() -> int | None:
    """Set the process's memory peak back to its present size (Linux), and return that size in bytes."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except OSError:
        return None


def _peak() -> int:
    return _status("VmHWM")


def _status(field: str) -> int:
    for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field}")
