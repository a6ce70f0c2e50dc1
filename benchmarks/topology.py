"""Our topology layer and every other engine, interleaved in one process; writes benchmarks/topology.md.

    python benchmarks/topology.py                                     # all parts
    python benchmarks/topology.py layer --points 1024 --families "uniform in R^3,noisy torus"
    python benchmarks/topology.py batch sampling agreement            # a part replaces its own tables, the others stay

Parts: ``layer`` (features -> diagrams of degrees 0 and 1 -> PWCD -> gradients of the features; forward, backward, peak
memory, growth of time), ``small`` (the same for small clouds, called many times in a row, and batches of 256 clouds on
two cores), ``first`` (first call of a process, compiled or not), ``batch`` (12 clouds on two cores),
``sampling`` (farthest points), ``where`` (parts of our time), ``agreement`` (float32 diagrams compared with giotto-ph),
``large`` (our time and memory for clouds beyond ``layer``), ``step`` (share of a training step).

All programs get the same features, on one thread except in ``batch``. Engines that only return values (gudhi,
ripser.py, holos-tda) cannot be differentiated: their time covers the diagrams only, which favours them. Times are
medians of CPU time; an engine with a first run of more than ``--patience`` seconds is not repeated, nor run on more
points of that family. Programs that are not installed are skipped:
``pip install gudhi ripser oineus eagerpy torch_topological POT holos-tda fpsample``. The families "PTv3 teacher" and
"PTv3 student" are features of the networks that ``make repro`` trained, on its validation scans.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from engines import AUTOGRAD, OURS, PROGRAMS, installed, measured, nothing, warm
from numba import njit
from point_clouds import FAMILIES
from report import keep
from timing import medians
from topology_pages import PAGES

from topokd.distillation import NetworkOutput, SegmentationLoss, Step, freeze
from topokd.distillation.topology import TopologyTerm
from topokd.errors import TopokdError
from topokd.experiments.shapes import features
from topokd.io import read_json
from topokd.models import build_model
from topokd.topology import (
    farthest_point_sampling,
    kernels,
    reference,
    rips_chamfer,
    squared_distances,
    vietoris_rips,
)
from topokd.topology.kernels import edge_order
from topokd.topology.kernels.sorting import argsort

TITLE = "The topological layer compared with other engines"
CLOUDS = 12  # of a batch


def layer(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every program on every family, from few points to many; with --keep, first the rows that are not measured now."""
    if options.keep:
        recorded = read_json(Path(__file__).with_suffix(".json"))["layer"]["rows"]
        yield from (r for r in recorded if r["points"] not in options.points or r["family"] not in options.families)
    tired: set[tuple[str, str]] = set()
    for n in options.points:
        for family in options.families:
            rng = np.random.default_rng(0)
            try:
                teacher, student = (FAMILIES[family](n, rng) for _ in range(2))
            except TopokdError as error:
                print(f"{family} at {n} points left out: {error}")
                continue
            reference = [diagram.float() for diagram in vietoris_rips(teacher).diagrams]
            points = student.astype(np.float32)
            able: dict[str, Callable[[], torch.Tensor | None]] = {
                name: partial(program.layer, points, reference)
                for name, program in PROGRAMS.items()
                if name in options.engines
                and installed(program.package)
                and n <= program.max_points
                and (family, name) not in tired
            }
            if n <= 30:  # beyond, it is a small part of any program's time
                able[AUTOGRAD] = partial(nothing, points)
            for name, cost in measured(able, options.repeats if n <= 1024 else 1, options.patience).items():
                yield {"family": family, "points": n, "engine": name, **cost}
                tired |= {(family, name)} if cost["gave_up"] and name != OURS else set()


def small(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The layer on small clouds with warm caches, and a batch of 256 clouds of 30 points on two cores (wall time)."""
    for family in options.families:
        rng = np.random.default_rng(0)
        for n in (30, 128):
            try:
                teacher, student = (FAMILIES[family](n, rng) for _ in range(2))
            except TopokdError:
                continue
            points, reference = student.astype(np.float32), [d.float() for d in vietoris_rips(teacher).diagrams]
            able: dict[str, Callable[[], torch.Tensor | None]] = {
                name: partial(program.layer, points, reference)
                for name, program in PROGRAMS.items()
                if installed(program.package) and name not in ("oineus", "naive")
            }
            able[AUTOGRAD] = partial(nothing, points)
            yield {"family": family, "points": n, "clouds": 1, **warm(able, 3, options.repeats)}
        if family.startswith("PTv3"):
            continue  # features of four scans only
        clouds = [torch.from_numpy(FAMILIES[family](30, rng).astype(np.float32)).requires_grad_() for _ in range(256)]
        references = [[d.detach() for d in persistence.diagrams] for persistence in vietoris_rips(clouds[::-1])]

        def ours(clouds: list[torch.Tensor] = clouds, references: Any = references) -> None:
            rips_chamfer(clouds, references, workers=2).backward()

        arrays = [x.detach().numpy() for x in clouds]
        programs = {OURS: ours}
        for name in ("gudhi", "ripser.py", "holos-tda"):
            if installed(PROGRAMS[name].package):
                programs[name] = partial(_one_after_the_other, PROGRAMS[name].layer, arrays)
        yield {"family": family, "points": 30, "clouds": 256, **medians(programs, options.repeats, "wall")}


def _one_after_the_other(layer: Callable[..., Any], clouds: list[np.ndarray]) -> None:
    """Diagrams of a batch on two cores, by two threads."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda x: layer(x, []), clouds, chunksize=8))


def batch(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A batch of clouds on two cores: our threads against giotto-ph in two processes; wall time."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(_giotto, [np.eye(3)] * 4))
        vietoris_rips([np.eye(3)] * 2)  # both ready before the clock runs
        for family in options.families:
            rng = np.random.default_rng(1)
            try:
                clouds = [FAMILIES[family](1024, rng).astype(np.float32) for _ in range(CLOUDS)]
            except TopokdError:
                continue
            times: dict[str, list[float]] = {OURS: [], "giotto-ph": []}
            for _ in range(2):
                times[OURS].append(_wall(partial(vietoris_rips, clouds, workers=2)))
                if len(times["giotto-ph"]) == 0 or times["giotto-ph"][0] < options.patience:
                    times["giotto-ph"].append(_wall(lambda: list(pool.map(_giotto, clouds))))  # noqa: B023
            yield {"family": family} | {name: statistics.median(each) for name, each in times.items()}


def _giotto(points: np.ndarray) -> None:
    from gph import ripser_parallel

    ripser_parallel(points, maxdim=1, n_threads=1, return_generators=True)


def first(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Seconds of a new process up to its first result: nothing compiled, compiled, and importing torch alone."""
    call = "import torch; from topokd.topology import vietoris_rips; vietoris_rips(torch.rand(%d, 3))"
    with tempfile.TemporaryDirectory() as folder:
        for number, (what, script, repeats) in enumerate(
            (
                ("30 points, nothing compiled", call % 30, 1),
                ("30 points, compiled", call % 30, options.repeats),
                ("1,024 points, nothing compiled", call % 1024, 1),
                ("1,024 points, compiled", call % 1024, options.repeats),
                ("import torch", "import torch", options.repeats),
            )
        ):
            cache = Path(folder) / str(number // 2)  # one for each number of points
            runs = [_child(script, {"TOPOKD_CACHE": str(cache)}) for _ in range(repeats)]
            row = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
            files = sum(len(list(cache.glob(f"*/*.{kind}"))) for kind in ("nbc", "o"))
            yield {"process": what, **row, "runs": repeats, "files": files}


def _child(script: str, environment: dict[str, str]) -> dict[str, float]:
    """CPU and wall seconds of a separate process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", script], env={**os.environ, **environment}, check=True, capture_output=True)
    after, end = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    return {"cpu_s": sum(after[:2]) - sum(before[:2]), "wall_s": end - start}


def sampling(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """64 farthest points: our loop, fpsample's (its variants with buckets fail at C = 64), a torch loop; one thread."""
    rng = np.random.default_rng(0)
    torch.set_num_threads(1)
    for n, c in ((20_000, 64), (20_000, 512), (200_000, 64), (200_000, 512)):
        for name in ("Gaussian", "clustered features"):
            made = features(n, rng, c, spread=0.3) if name != "Gaussian" else rng.standard_normal((n, c), np.float32)
            points = made.astype(np.float32)
            works: dict[str, Callable[[], Any]] = {
                OURS: partial(farthest_point_sampling, points, 64),
                "torch loop": partial(reference.farthest_point_sampling, torch.from_numpy(points), 64),
            }
            if installed("fpsample"):
                import fpsample

                works["fpsample"] = partial(fpsample.fps_sampling, points, 64, start_idx=0)
            times: dict[str, list[float]] = {work: [] for work in works}
            for turn in range(3):
                for work, run in works.items():
                    if turn < 2 or times[work][0] < options.patience:
                        start = time.process_time()
                        run()
                        times[work] = [*times[work][: turn and None], time.process_time() - start]
            yield {"points": n, "channels": c, "cloud": name, **{w: min(t) for w, t in times.items()}}


def where(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Cost of one diagram at M = 1024, part by part, and of one read of the distance matrix."""
    stop = np.zeros(1, np.uint8)
    for family in options.families:
        try:
            points = FAMILIES[family](1024, np.random.default_rng(0))
        except TopokdError:
            continue
        filtration = squared_distances(points)
        counts = kernels.sweep.pairs(filtration, np.inf, stop).statistics
        entered, relations, annotations = (int(k) for k in counts)
        parts: dict[str, Callable[[], Any]] = {
            "read once": partial(kernels.edge_order.enclosing_radius, filtration),
            "distances": partial(squared_distances, points),
            "edges in order": partial(_sort_edges, filtration, entered),
            "sweep": partial(kernels.sweep.pairs, filtration, np.inf, stop),
        }
        seconds = {name: _cpu(work, options.repeats) for name, work in parts.items()}
        seconds["lunes and relations"] = seconds.pop("sweep") - seconds["edges in order"]
        yield {"family": family, "edges": entered, "relations": relations, "annotations": annotations, **seconds}


@njit
def _sort_edges(filtration: np.ndarray, entered: int) -> None:
    """Sort the first edges as the sweep does, and do nothing else. In Numba: the sweep's steps are not for Python."""
    radius, sums = edge_order.enclosing_radius(filtration)
    argsort(sums)
    bounds, first = edge_order.rounds(filtration, radius)
    edges = edge_order.collect(filtration, bounds, first, np.empty(0, np.uint64), edge_order.EARLY_ROUNDS)
    for turn in range(edge_order.ROUNDS):
        if entered > first[turn]:
            if turn == edge_order.EARLY_ROUNDS:
                edges = edge_order.collect(filtration, bounds, first, edges, edge_order.ROUNDS)
            edge_order.sort(edges[first[turn] : first[turn + 1]], filtration)


def agreement(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Clouds of every family: sorted float32 diagrams of ours and of giotto-ph, compared bit by bit."""
    from gph import ripser_parallel

    for family in options.families:
        rng = np.random.default_rng(2)
        different = pairs = clouds = 0
        try:
            for _ in range(options.clouds):
                points = FAMILIES[family](int(rng.integers(10, 160)), rng)
                distances = np.sqrt(squared_distances(points)).astype(np.float32)
                ours = vietoris_rips(distances, metric="precomputed").diagrams
                theirs = ripser_parallel(distances, metric="precomputed", maxdim=1, n_threads=1)["dgms"]
                same = True
                for mine, other in zip((d.numpy() for d in ours), theirs, strict=True):
                    finite = other[np.isfinite(other[:, 1])]
                    pairs += len(finite)
                    same &= np.array_equal(mine[np.lexsort(mine.T)], finite[np.lexsort(finite.T)])
                clouds, different = clouds + 1, different + (not same)
        except TopokdError:
            continue
        yield {"family": family, "clouds": clouds, "pairs": pairs, "different": different}


LARGE = (("features with unit norm", 8192), ("sphere in R^64", 2048), ("sphere in R^64", 4096))


def large(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Our diagrams of large clouds, once each in a separate process; memory beyond that of a small cloud."""
    for family, n in LARGE:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            yield {"family": family, "points": n, **pool.submit(_large, family, n).result()}


def _large(family: str, n: int) -> dict[str, float]:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    points = (features(n, rng, spread=0.6) if family.startswith("features") else FAMILIES[family](n, rng)).astype("f4")
    vietoris_rips(points[:64])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    pairs = len(vietoris_rips(points).diagrams[1])
    seconds = time.process_time() - start
    return {"pairs": pairs, "cpu_s": seconds, "peak_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before}


def step(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One training step of the paper's networks on 12 clouds, and the topological term in it (M = 1024).

    The clouds are crops; features are compared at the deepest stage that has 1,024 voxels in each. Larger clouds cost
    the networks more and the term nothing, so its share at the paper's size is smaller than here.
    """
    torch.manual_seed(0)
    torch.set_num_threads(1)
    teacher, student = freeze(build_model("ptv3-teacher")), build_model("ptv3-student").train()
    rng = np.random.default_rng(0)
    grids = [_street(options.voxels, rng) for _ in range(CLOUDS)]
    grid = torch.from_numpy(np.concatenate(grids))
    offsets = torch.arange(1, CLOUDS + 1) * options.voxels
    inputs = {"grid_coord": grid, "feat": torch.cat([grid * 0.05, torch.rand(len(grid), 1)], 1), "offset": offsets}
    label = torch.randint(0, 16, (len(grid),))
    started = time.process_time()
    with torch.no_grad():
        out_t = NetworkOutput(*teacher(inputs, taps=True))
    passed = time.process_time()
    counts = [int(torch.diff(tap.offsets, prepend=torch.zeros(1, dtype=torch.long)).min()) for tap in out_t.taps]
    stage = max((k for k, count in enumerate(counts) if count >= 1024), default=0)
    term = TopologyTerm(stage=stage, num_points=1024)
    segmentation = SegmentationLoss()
    out_s = NetworkOutput(*student(inputs, taps=True))
    forward = time.process_time()
    topological = term(Step(out_s, out_t, label, torch.zeros(()), segmentation))
    diagrams = time.process_time()
    (segmentation(out_s.logits, label) + topological).backward()
    end = time.process_time()
    row = {
        "clouds": CLOUDS,
        "voxels": options.voxels,
        "stage": stage,
        "rows": counts[stage],
        "teacher_s": passed - started,
        "student_forward_s": forward - passed,
        "topological_s": diagrams - forward,
        "backward_s": end - diagrams,
    }
    yield row | {"share": row["topological_s"] / (end - started)}


def _street(voxels: int, rng: np.random.Generator) -> np.ndarray:
    """The given number of occupied voxels on surfaces: ground, walls and boxes."""
    n = 6 * voxels
    side = int(voxels**0.5 * 1.2)
    ground = np.stack([rng.integers(0, side, n), rng.integers(0, side, n), rng.integers(0, 2, n)], 1)
    walls = np.stack([rng.integers(0, side, n // 4), np.full(n // 4, side // 2), rng.integers(2, 60, n // 4)], 1)
    return np.unique(rng.permutation(np.concatenate([ground, walls])), axis=0)[:voxels]


PARTS = {
    "layer": layer,
    "small": small,
    "first": first,
    "batch": batch,
    "sampling": sampling,
    "where": where,
    "agreement": agreement,
    "large": large,
    "step": step,
}


def _wall(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _cpu(work: Callable[[], Any], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--points", default="30,128,512,1024,2048,4096", help="sizes, separated by commas")
    parser.add_argument("--families", default=",".join(FAMILIES), help="separated by commas")
    parser.add_argument("--engines", default=",".join(PROGRAMS), help="of `layer`, separated by commas")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--patience", type=float, default=10.0, help="seconds an engine may take in its first run")
    parser.add_argument("--clouds", type=int, default=60, help="clouds per family in `agreement`")
    parser.add_argument("--voxels", type=int, default=8000, help="per cloud in `step`")
    parser.add_argument("--keep", action="store_true", help="keep the rows of `layer` that are not measured now")
    parser.add_argument("--note", default="", help="a sentence for the page on how this was measured")
    parser.add_argument("--dry", action="store_true", help="print only, write nothing")
    options = parser.parse_args()
    options.points, options.families = [int(n) for n in options.points.split(",")], options.families.split(",")
    options.engines = options.engines.split(",")
    torch.set_num_threads(1)
    parts = {part: PARTS[part](options) for part in options.parts or PARTS}
    compared = [program.package for program in PROGRAMS.values() if program.package]
    packages = ["torch", "numba", "numpy", *compared, "fpsample"]
    keep(__file__, TITLE, parts, PAGES, packages, options.dry, options.note, options.keep)


if __name__ == "__main__":
    main()
