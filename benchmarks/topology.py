"""Our topological layer beside other engines, interleaved in one process: medians of CPU time, and ratios to ours.

    python benchmarks/topology.py --points 1024 --repeats 5
    python benchmarks/topology.py --points 128 --families uniform,torus --budget 60

Two tables per size. "layer": features -> diagrams (degrees 0, 1) -> PWCD -> feature gradients on engine reduced and on
giotto-ph. "diagrams": values of degrees 0 and 1 alone, also from gudhi and ripser.py where they are installed. Engines
whose first run exceeds ``--budget`` seconds are dropped for that family: the ratio then is a lower bound.
Ends with farthest point sampling beside a plain torch loop.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from topokd.topology import farthest_point_sampling, persistence_weighted_chamfer, vietoris_rips
from topokd.topology.sampling import _sample_torch
from topokd.topology.shapes import circle, features, torus, uniform

Clouds = dict[str, Callable[[int, np.random.Generator], np.ndarray]]


def sphere(n: int, rng: np.random.Generator) -> np.ndarray:
    points = rng.normal(size=(n, 64))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


FAMILIES: Clouds = {
    "uniform": uniform,
    "gaussian": lambda n, rng: rng.normal(size=(n, 64)),
    "features": partial(features, spread=0.3),
    "torus": partial(torus, noise=0.05),
    "circle": partial(circle, noise=0.1),
    "diffuse": partial(features, spread=1.2),
    "unclustered": partial(features, classes=0, spread=1.0),
    "sphere": sphere,
}


def layer(teacher: list[torch.Tensor], student: np.ndarray, engine: Any) -> None:
    x = torch.from_numpy(student).float().requires_grad_(True)
    own = vietoris_rips(x, engine=engine).diagrams
    torch.stack([persistence_weighted_chamfer(a, b) for a, b in zip(teacher, own, strict=True)]).sum().backward()


def giotto(points: np.ndarray) -> None:
    from gph import ripser_parallel

    ripser_parallel(points, maxdim=1, n_threads=1, return_generators=True)


def gudhi(points: np.ndarray) -> None:
    from gudhi.sklearn import RipsPersistence

    RipsPersistence(homology_dimensions=(0, 1), n_jobs=1).fit_transform([points])


def ripser(points: np.ndarray) -> None:
    from ripser import ripser as run

    run(points, maxdim=1)


def interleaved(works: dict[str, Callable[[], Any]], repeats: int, budget: float) -> dict[str, float]:
    """Median seconds of each; every round runs each once. Over the budget: its first time, negative."""
    times: dict[str, list[float]] = {}
    dropped: dict[str, float] = {}
    for turn in range(repeats + 1):
        for name, work in works.items():
            if name in dropped:
                continue
            start = time.process_time()
            try:
                work()
            except ImportError:
                dropped[name] = float("nan")
                continue
            seconds = time.process_time() - start
            if seconds > budget:
                dropped[name] = -seconds
            if turn:
                times.setdefault(name, []).append(seconds)
    return {name: statistics.median(t) for name, t in times.items() if name not in dropped} | dropped


def report(title: str, found: dict[str, float], ours: str) -> None:
    print(f"{title:28s}", end="")
    for name, seconds in found.items():
        ratio = "" if name == ours else f" ({'>' if seconds < 0 else ''}{abs(seconds) / found[ours]:.1f}x)"
        print(f"  {name} {1e3 * abs(seconds):.1f} ms{ratio}", end="")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", default="1024", help="sizes, separated by commas")
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--budget", type=float, default=20.0, help="seconds an engine may take in its first run")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for n in map(int, options.points.split(",")):
        ratios = []
        for family in options.families.split(","):
            rng = np.random.default_rng(0)
            teacher, student = (FAMILIES[family](n, rng) for _ in range(2))
            reference = [d.float() for d in vietoris_rips(teacher).diagrams]
            works = {e: partial(layer, reference, student, e) for e in ("reduced", "giotto-ph")}
            found = interleaved(works, options.repeats, options.budget)
            report(f"layer    {family} {n}", found, "reduced")
            ratios.append(abs(found["giotto-ph"]) / found["reduced"])
            works = {
                "ours": partial(vietoris_rips, student),
                "giotto-ph": partial(giotto, student),
                "gudhi": partial(gudhi, student),
                "ripser.py": partial(ripser, student),
            }
            if found["giotto-ph"] < 0:
                works.pop("ripser.py")  # slower still
            report(f"diagrams {family} {n}", interleaved(works, options.repeats, options.budget), "ours")
        print(f"layer, geometric mean over families at {n} points: {statistics.geometric_mean(ratios):.1f}x giotto-ph")
    for n, c in ((20_000, 64), (20_000, 512)):
        points = torch.from_numpy(np.random.default_rng(0).standard_normal((n, c), dtype=np.float32))
        works = {
            "ours": partial(farthest_point_sampling, points, 64),
            "torch loop": partial(_sample_torch, points, 64, 0),
        }
        report(f"sampling 64 of {n}, c = {c}", interleaved(works, min(3, options.repeats), options.budget), "ours")


if __name__ == "__main__":
    main()
