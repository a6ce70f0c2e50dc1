"""``results/<profile>/timings/model_cost.json``: time and memory of teacher and student, measured on this machine.

::

    {"device": str, "threads": int, "repeats": int, "torch": str,
     "models": {role: {"preset": str, "voxels": int,          # one cloud with this many voxels, evaluation mode
        "latency_s": float,                                   # median forward pass
        "fps": float,                                         # 1 / latency_s: the network alone
        "peak_memory_bytes": int,                             # peak of a forward pass beyond weights and input
        "weight_bytes": int,                                  # parameters and buffers
        "cpu_time_s": float,                                  # sum of torch.profiler's self CPU times (Table 6)
        "operations": {name: {"self_s", "total_s": float, "calls", "allocated_bytes": int}}}},  # most expensive first
     "ratios": {"latency", "fps", "cpu_time", "peak_memory",           # teacher / student; fps: student / teacher
                "latency_range": [float, float],                       # smallest and largest of the rounds
                "peak_memory_with_weights": float,                     # comparable with max_memory_allocated
                "operations": {name: {"self_s": float|null, "allocated_bytes": float|null}}},
     "scaling": [{"requested": int, "voxels": int,            # Figure 1 c, d
        "latency_s": {role: float}, "peak_memory_bytes": {role: int}}],
     "frame": {"points": int, "voxels": int, "voxel_size": float,     # a whole scan, from points to a class per point
        "repeats": int,                                       # as above on CUDA, 1 on a CPU, where it takes seconds
        "seconds": {role: float}, "fps": {role: float}}}             # Table 3

On CUDA a model also has "device_time_s", an operation "device_self_s" and "device_total_s": time on the GPU.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from topokd.data import Scan, Voxels, collate, voxelize
from topokd.evaluation.predict import predict
from topokd.experiments.measurement import Operations, measure_in_turn, measure_peak_memory, profile_operations
from topokd.experiments.model_cost.clouds import cut
from topokd.experiments.model_cost.count import ratio
from topokd.machine import device_name
from topokd.models import PointTransformerV3
from topokd.models.modes import evaluation_mode
from topokd.progress import Progress

# Larger clouds take seconds on a CPU: they run once there. The smaller ones have warmed the network up by then.
REPEATED_TOKENS = 32_000
Models = dict[str, PointTransformerV3]


@dataclass(frozen=True)
class ForwardCost:
    """Cost of a forward pass of one network on one cloud; ``totals`` and ``operations`` only where profiled."""

    seconds: list[float]
    peak_memory_bytes: int
    totals: dict[str, float]
    operations: Operations

    @property
    def latency_s(self) -> float:
        """Median time."""
        return statistics.median(self.seconds)


def measure_cost(
    models: Models,
    voxels: Voxels,
    tokens: int,
    scaling: Iterable[int],
    scan: Scan,
    frame_voxel_size: float,
    repeats: int,
    device: torch.device | str = "cpu",
    large: Voxels | None = None,
) -> dict[str, Any]:
    """The document at the top of this file; the networks take turns, so a busy machine slows both down.

    Args:
        models: networks by role, ``"teacher"`` and ``"student"``.
        voxels: a whole scan; clouds of n voxels are its n nearest ones.
        tokens: number of voxels of ``"models"`` and ``"ratios"`` (Tables 3, 5, 6).
        scaling: numbers of voxels of ``"scaling"`` (Figure 1 c, d).
        scan: the scan of ``"frame"``.
        frame_voxel_size: voxel size of ``"frame"`` in metres.
        repeats: number of timed forward passes.
        device: where the networks run.
        large: used where ``voxels`` has too few (`clouds.tile_along_x`).

    Returns:
        Seconds, bytes of peak memory and their ratios, with the conditions, as JSON types.

    Examples:
        >>> import numpy as np
        >>> from topokd.data import Scan, voxelize
        >>> from topokd.models import build_model
        >>> xyz = np.random.default_rng(0).uniform(0, 9, (50, 3)).astype(np.float32)
        >>> scan = Scan(xyz, np.ones(50, np.float32))
        >>> models = {role: build_model("ptv3-tiny") for role in ("teacher", "student")}
        >>> cost = measure_cost(models, voxelize(scan, 0.5), 20, [], scan, frame_voxel_size=0.5, repeats=1)
        >>> cost["models"]["student"]["voxels"], cost["frame"]["points"]
        (20, 50)
    """
    device, scaling = torch.device(device), list(scaling)
    models = {role: model.to(device) for role, model in models.items()}
    clouds = {requested: cut(voxels, large, requested) for requested in (tokens, *scaling)}
    costs = {
        requested: forward_costs(models, clouds[requested], repeats, device, profiled=requested == tokens)
        for requested in Progress(list(clouds), "model cost")
    }
    weights = {role: sum(v.nbytes for v in model.state_dict().values()) for role, model in models.items()}
    return {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "repeats": repeats,
        "torch": torch.__version__,
        "models": {
            role: _model_record(model, len(clouds[tokens]), costs[tokens][role], weights[role])
            for role, model in models.items()
        },
        "ratios": _ratios(costs[tokens], weights),
        "scaling": [
            {
                "requested": requested,
                "voxels": len(clouds[requested]),
                "latency_s": {role: cost.latency_s for role, cost in costs[requested].items()},
                "peak_memory_bytes": {role: cost.peak_memory_bytes for role, cost in costs[requested].items()},
            }
            for requested in scaling
        ],
        "frame": _frame_record(models, scan, frame_voxel_size, repeats if device.type == "cuda" else 1, device),
    }


def forward_costs(
    models: Models, voxels: Voxels, repeats: int, device: torch.device, profiled: bool
) -> dict[str, ForwardCost]:
    """Latency, peak memory and, if ``profiled``, the operations of one forward pass of each network on ``voxels``.

    Args:
        models: networks by role.
        voxels: one cloud.
        repeats: number of timed passes of each.
        device: where they run.
        profiled: whether to list the operations too.
    """
    batch = collate([voxels]).to(device)

    def forward(model: PointTransformerV3) -> Tensor:
        with evaluation_mode(model), torch.inference_mode():
            return model(batch)

    passes = {role: functools.partial(forward, model) for role, model in models.items()}
    repeated = len(batch.feat) <= REPEATED_TOKENS or device.type == "cuda"
    seconds = measure_in_turn(passes, repeats if repeated else 1, device, warm_up=int(repeated))
    return {
        role: ForwardCost(
            seconds[role],
            measure_peak_memory(one_pass, device),
            *(profile_operations(one_pass, device=device) if profiled else ({}, {})),
        )
        for role, one_pass in passes.items()
    }


def _model_record(model: PointTransformerV3, voxels: int, cost: ForwardCost, weight_bytes: int) -> dict[str, Any]:
    return {
        "preset": model.preset,
        "voxels": voxels,
        "latency_s": cost.latency_s,
        "fps": 1 / cost.latency_s,
        "peak_memory_bytes": cost.peak_memory_bytes,
        "weight_bytes": weight_bytes,
        **cost.totals,
        "operations": cost.operations,
    }


def _ratios(costs: dict[str, ForwardCost], weights: dict[str, int]) -> dict[str, Any]:
    teacher, student = costs["teacher"], costs["student"]
    rounds = [a / b for a, b in zip(teacher.seconds, student.seconds, strict=True)]
    return {
        "latency": teacher.latency_s / student.latency_s,
        "fps": teacher.latency_s / student.latency_s,
        "latency_range": [min(rounds), max(rounds)],
        "cpu_time": teacher.totals["cpu_time_s"] / student.totals["cpu_time_s"],
        "peak_memory": teacher.peak_memory_bytes / student.peak_memory_bytes,
        "peak_memory_with_weights": (teacher.peak_memory_bytes + weights["teacher"])
        / (student.peak_memory_bytes + weights["student"]),
        "operations": {
            name: {key: ratio(row[key], student.operations[name][key]) for key in ("self_s", "allocated_bytes")}
            for name, row in teacher.operations.items()
            if name in student.operations
        },
    }


def _frame_record(models: Models, scan: Scan, voxel_size: float, repeats: int, device: torch.device) -> dict[str, Any]:
    calls = {role: functools.partial(predict, model, scan, voxel_size) for role, model in models.items()}
    seconds = {role: statistics.median(times) for role, times in measure_in_turn(calls, repeats, device).items()}
    return {
        "points": len(scan),
        "voxels": len(voxelize(scan, voxel_size)),
        "voxel_size": voxel_size,
        "repeats": repeats,
        "seconds": seconds,
        "fps": {role: 1 / value for role, value in seconds.items()},
    }
