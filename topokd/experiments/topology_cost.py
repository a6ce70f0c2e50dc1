"""Cost of the topological loss: Table 8 (time and memory), Figure 5 (sampling), Figure 6 (H1 against H2).

``results/<profile>/timings/topology_cost.json``, times in seconds, medians over ``repeats`` runs::

    {"device": processor, "threads": int, "repeats": int, "channels": int, "homology_engine": name,
     "table8":   [{"points": n, "naive": cost or null, "ours": cost, "giotto_ph": cost,
                   "speedup": forward + backward of naive over those of ours, or null}],
     "sampling": [{"points": N, "kept": 128, "farthest_s": t, "random_s": t}],           # Figure 5
     "homology": [{"points": n, "h1_s": t, "h2_s": t}]}                                   # Figure 6

with ``cost = {"forward_s", "backward_s", "peak_bytes"}``: features -> diagrams (dimensions 0, 1) -> PWCD, then the
gradients of the features. ``peak_bytes`` is measured in a separate process (`topokd.experiments.peak_memory`; null
where the system does not report it).
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from topokd.experiments.measurement import measure_in_turn
from topokd.experiments.peak_memory import peak_memory
from topokd.experiments.shapes import features, uniform
from topokd.machine import processor_name
from topokd.params import CostMeasurement
from topokd.progress import Progress
from topokd.topology.chamfer import persistence_weighted_chamfer
from topokd.topology.engines import choose_engine
from topokd.topology.persistence import vietoris_rips
from topokd.topology.sampling import farthest_point_sampling

SAMPLED = 128  # M of Figure 5
CHANNELS = 64
ENGINE_OF = {"naive": "reference", "ours": "auto", "giotto_ph": "giotto-ph"}  # columns of Table 8


def measure_topology_cost(bench: CostMeasurement, seed: int = 0) -> dict[str, Any]:
    """The document at the top of this file. Everything runs once before it is timed (NOTES row 15).

    Args:
        bench: numbers of points and of repeats.
        seed: seed of the random clouds.
    """
    rng = np.random.default_rng(seed)
    layer_costs(features(20, rng), features(20, rng), ENGINE_OF, 1)
    points = sorted(bench.topology_points)
    naive = [n for n in points if n <= bench.naive_max_points]
    sizes = {"naive": naive, "ours": points, "giotto_ph": points}
    peaks = {
        name: peak_memory(ENGINE_OF[name], sizes[name], CHANNELS, seed) for name in Progress(list(ENGINE_OF), "memory")
    }
    return {
        "device": processor_name(),
        "threads": torch.get_num_threads(),
        "repeats": bench.repeats,
        "channels": CHANNELS,
        "homology_engine": choose_engine("auto", 2),
        "table8": [_table8_row(n, bench, rng, peaks) for n in Progress(points, "Table 8")],
        "sampling": [_sampling_row(n, bench, rng) for n in Progress(sorted(bench.sampling_points), "Figure 5")],
        "homology": [_homology_row(n, bench, rng) for n in Progress(sorted(bench.h2_points), "Figure 6")],
    }


def _table8_row(
    n: int, bench: CostMeasurement, rng: np.random.Generator, peaks: dict[str, dict[int, int | None]]
) -> dict[str, Any]:
    teacher, student = features(n, rng, CHANNELS), features(n, rng, CHANNELS)
    counted = {name: engine for name, engine in ENGINE_OF.items() if n in peaks[name]}
    costs = layer_costs(teacher, student, counted, bench.repeats)
    row = {name: costs[name] | {"peak_bytes": peaks[name][n]} if name in costs else None for name in ENGINE_OF}
    speedup = _total(costs["naive"]) / _total(costs["ours"]) if "naive" in costs else None
    return {"points": n, **row, "speedup": speedup}


def _sampling_row(n: int, bench: CostMeasurement, rng: np.random.Generator) -> dict[str, Any]:
    points = torch.from_numpy(rng.standard_normal((n, CHANNELS), dtype=np.float32))
    calls = {
        "farthest_s": partial(farthest_point_sampling, points, SAMPLED),
        "random_s": partial(_random_sample, points, SAMPLED, rng),
    }
    return {"points": n, "kept": SAMPLED, **_medians(measure_in_turn(calls, bench.repeats))}


def _homology_row(n: int, bench: CostMeasurement, rng: np.random.Generator) -> dict[str, Any]:
    cloud, engine = uniform(n, rng), choose_engine("auto", 2)
    calls = {f"h{dim}_s": partial(vietoris_rips, cloud, max_dim=dim, engine=engine) for dim in (1, 2)}
    return {"points": n, **_medians(measure_in_turn(calls, bench.repeats))}


def _medians(times: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in times.items()}


def layer_costs(
    teacher: Float[ndarray, "n c"], student: Float[ndarray, "n c"], engines: Mapping[str, str], repeats: int
) -> dict[str, dict[str, float]]:
    """Time of forward and backward pass of the loss between a teacher's diagrams and a student's features.

    Args:
        teacher: features; their diagrams are computed before the clock starts.
        student: features that receive gradients.
        engines: engines that compute the student's diagrams, by name; they take turns. The naive one runs once.
        repeats: number of timed runs; if there are several, an untimed one comes first.

    Returns:
        ``forward_s`` and ``backward_s`` by name, medians in seconds.
    """
    reference = vietoris_rips(torch.from_numpy(teacher)).diagrams
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for run in range(repeats + (repeats > 1)):
        for name, engine in engines.items():
            if run == 0 or engine != ENGINE_OF["naive"]:
                times[name].append(_layer_time(reference, student, engine))
    timed = {name: runs[1:] or runs for name, runs in times.items()}
    return {
        name: {
            "forward_s": statistics.median(forward for forward, _ in runs),
            "backward_s": statistics.median(backward for _, backward in runs),
        }
        for name, runs in timed.items()
    }


def _layer_time(reference: list[Tensor], student: Float[ndarray, "n c"], engine: str) -> tuple[float, float]:
    """Seconds of one forward and one backward pass."""
    x = torch.from_numpy(student).float().requires_grad_(True)
    gc.collect()
    start = time.perf_counter()
    diagrams = vietoris_rips(x, engine=engine).diagrams
    loss = torch.stack(
        [persistence_weighted_chamfer(a.float(), b) for a, b in zip(reference, diagrams, strict=True)]
    ).sum()
    middle = time.perf_counter()
    loss.backward()
    return middle - start, time.perf_counter() - middle


def cost_table(document: dict[str, Any]) -> pd.DataFrame:
    """Table 8 of the document for readers: times in seconds and memory in MB over the number of points."""
    fields = (("forward (s)", "forward_s", 1), ("backward (s)", "backward_s", 1), ("memory (MB)", "peak_bytes", 1e-6))
    rows = {}
    for row in document["table8"]:
        rows[row["points"]] = {
            f"{name.replace('_', '-')} {kind}": _shown(row[name] and row[name][field], factor)
            for name in ENGINE_OF
            for kind, field, factor in fields
        } | {"speed-up over naive": _shown(row["speedup"])}
    return pd.DataFrame.from_dict(rows, orient="index")


def _shown(value: float | None, factor: float = 1) -> str:
    """Three significant digits; a dash for what was not measured."""
    if value is None:
        return "–"
    return f"{factor * value:,.0f}" if factor * value >= 1000 else f"{factor * value:#.3g}".rstrip(".")


def cost_sentence(document: dict[str, Any]) -> str:
    """Sentences that compare our layer with the naive baseline and with giotto-ph, at the largest size of each."""
    compared = [row for row in document["table8"] if row["naive"]]
    largest = document["table8"][-1]
    ours, giotto = _total(largest["ours"]), _total(largest["giotto_ph"])
    naive = [f"At N = {r['points']} the naive baseline takes {r['speedup']:.0f} times as long. " for r in compared[-1:]]
    return "".join(naive) + (
        f"At N = {largest['points']} the layer takes {ours:.3f} s, and {giotto:.3f} s with giotto-ph "
        f"({giotto / ours:.1f} times as long)."
    )


def _total(cost: dict[str, Any]) -> float:
    return cost["forward_s"] + cost["backward_s"]


def _random_sample(points: Float[Tensor, "n c"], m: int, rng: np.random.Generator) -> Float[Tensor, "m c"]:
    return points[torch.from_numpy(rng.choice(len(points), m, replace=False))]
