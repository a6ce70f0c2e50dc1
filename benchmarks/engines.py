"""The programs that benchmarks/topology.py compares, behind one interface, and their timing."""

from __future__ import annotations

import gc
import importlib.metadata
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from topokd.experiments.measurement import process_peak, reset_process_peak
from topokd.topology import persistence_weighted_chamfer, rips_chamfer, vietoris_rips

OURS = "topokd"
Layer = Callable[[np.ndarray, list[Tensor]], Tensor | None]


@dataclass(frozen=True)
class Program:
    """One program.

    Attributes:
        layer: ``layer(student's points, teacher's diagrams)`` returns the loss, or None if it only computes values.
        package: the package that must be installed.
        max_points: limit for engines that list every triangle.
    """

    layer: Layer
    package: str | None = None
    max_points: int = 1 << 30


def loss(reference: list[Tensor], own: list[Tensor]) -> Tensor:
    return torch.stack([persistence_weighted_chamfer(a, b.float()) for a, b in zip(reference, own, strict=True)]).sum()


def _ours(points: np.ndarray, reference: list[Tensor]) -> Tensor:
    return rips_chamfer(torch.from_numpy(points).requires_grad_(True), reference)


def _package(engine: Any, points: np.ndarray, reference: list[Tensor]) -> Tensor:
    x = torch.from_numpy(points).requires_grad_(True)
    return loss(reference, vietoris_rips(x, engine=engine).diagrams)


def _torch_topological(points: np.ndarray, reference: list[Tensor]) -> Tensor:
    from torch_topological.nn import VietorisRipsComplex

    x = torch.from_numpy(points).requires_grad_(True)
    return loss(reference, [entry.diagram for entry in VietorisRipsComplex(dim=1)(x)])


def _oineus(points: np.ndarray, reference: list[Tensor]) -> Tensor:
    import oineus.diff as oineus

    x = torch.from_numpy(points).double().requires_grad_(True)
    distances = (x[:, None] - x[None]).norm(dim=2)  # it only takes points of few dimensions
    diagrams = oineus.persistence_diagram(oineus.vr_filtration(distances, from_pwdists=True, max_dim=2))
    return loss(reference, [diagrams[0], diagrams[1]])


def _gudhi(points: np.ndarray, _: list[Tensor]) -> None:
    from gudhi.sklearn import RipsPersistence

    RipsPersistence(homology_dimensions=(0, 1), n_jobs=1).fit_transform([points])


def _ripser(points: np.ndarray, _: list[Tensor]) -> None:
    from ripser import ripser

    ripser(points, maxdim=1)


def _holos(points: np.ndarray, _: list[Tensor]) -> None:
    import holos_tda

    holos_tda.rips_points(points.astype(float), max_dim=1, threads=1)


AUTOGRAD = "autograd alone"  # the name of `nothing` beside the programs
PROGRAMS = {
    OURS: Program(_ours),
    "giotto-ph": Program(partial(_package, "giotto-ph"), "giotto-ph"),
    "torch_topological": Program(_torch_topological, "torch_topological"),
    "oineus": Program(_oineus, "oineus", max_points=128),
    "gudhi": Program(_gudhi, "gudhi"),
    "ripser.py": Program(_ripser, "ripser"),
    "holos-tda": Program(_holos, "holos-tda"),
    "naive": Program(partial(_package, "reference"), max_points=60),
}


def installed(package: str | None) -> bool:
    try:
        return package is None or bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


class _Nothing(torch.autograd.Function):
    """Zero, with zero gradients: what autograd alone costs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.gradient = torch.zeros_like(x)
        return x.new_zeros(())

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> Tensor:  # type: ignore[override]
        return ctx.gradient  # type: ignore[no-any-return]


def nothing(points: np.ndarray) -> Tensor:
    """A layer that computes nothing: no program with gradients can be faster."""
    return _Nothing.apply(torch.from_numpy(points).requires_grad_(True))  # type: ignore[no-any-return]


def warm(layers: dict[str, Callable[[], Tensor | None]], turns: int, calls: int) -> dict[str, float]:
    """Median CPU seconds of one call, forward and backward, among ``calls`` calls in a row; programs take turns.

    Here instructions and data of a program are in the processor's caches; in `measured`, after a garbage collection,
    they are in memory.
    """
    seconds: dict[str, list[float]] = {name: [] for name in layers}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for turn in range(turns + 1):
            for name, layer in layers.items():
                for _ in range(calls):
                    start = time.process_time()
                    value = layer()
                    if value is not None:
                        value.backward()
                    seconds[name] += [time.process_time() - start] if turn else []
    return {name: statistics.median(times) for name, times in seconds.items()}


def measured(layers: dict[str, Callable[[], Tensor | None]], repeats: int, patience: float) -> dict[str, dict]:
    """Medians of forward and backward CPU seconds and the largest rise of memory of each layer.

    Every turn runs each layer once. The first turn warms up and is not counted, unless it takes more than ``patience``
    seconds; then it is the only one. A garbage collection before each run lets the memory of the run before go; it
    also drives a program's instructions and data out of the processor's caches, see `warm`.
    """
    runs: dict[str, list[tuple[float, float, int]]] = {name: [] for name in layers}
    slow = set()
    for turn in range(repeats + 1):
        for name, layer in layers.items():
            if name in slow:
                continue
            gc.collect()
            before = reset_process_peak() or 0
            start = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = layer()
            middle = time.process_time()
            if value is not None:
                value.backward()
            end = time.process_time()
            run = (middle - start, end - middle, process_peak() - before)
            if end - start > patience:
                slow.add(name)
                runs[name] = [run]
            elif turn:
                runs[name].append(run)
    return {
        name: {
            "forward_s": statistics.median(run[0] for run in results),
            "backward_s": statistics.median(run[1] for run in results),
            "peak_bytes": max(run[2] for run in results),
            "runs": len(results),
            "gave_up": name in slow,
        }
        for name, results in runs.items()
    }
