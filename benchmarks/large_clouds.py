"""Clouds too large for a matrix, compared with alpha complexes and sparse engines; writes benchmarks/large_clouds.md.

    python benchmarks/large_clouds.py
    python benchmarks/large_clouds.py --families "uniform in the plane" --repeats 1

Degrees 0 and 1, one thread, programs in turn. Ours is the exact Vietoris-Rips filtration. GUDHI's alpha complex is
another filtration of the same points, its sparse Rips complex (epsilon = 0.5) an approximation, which goes over all
pairs of points and is left out above `--all-pairs` points. It and Ripser get edges up to our last death, which they
could not know; Ripser returns the same pairs.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from engines import installed
from report import Rows, keep, table

from topokd.experiments.measurement import process_peak, reset_process_peak
from topokd.experiments.shapes import uniform
from topokd.io import read_json
from topokd.topology import vietoris_rips

TITLE = "Large clouds of few coordinates"
OURS = "topokd"


def _clusters(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(n, 2)) * 0.1 + 10 * rng.random((20, 2))[rng.integers(0, 20, n)]


FAMILIES: dict[str, tuple[int, Callable[[int, np.random.Generator], np.ndarray]]] = {
    "uniform in the plane": (100_000, lambda n, rng: rng.random((n, 2))),
    "Gaussian in the plane": (100_000, lambda n, rng: rng.normal(size=(n, 2))),
    "20 clusters in the plane": (100_000, _clusters),
    "uniform in R^3": (20_000, uniform),
    "Gaussian in R^3": (20_000, lambda n, rng: rng.normal(size=(n, 3))),
}


def clouds(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every program on every family; with --keep, first the rows that are not measured now."""
    if options.keep:
        recorded = read_json(Path(__file__).with_suffix(".json"))["clouds"]["rows"]
        yield from (row for row in recorded if row["family"] not in options.families)
    torch.set_num_threads(1)
    vietoris_rips(np.random.default_rng(0).random((100, 2)), search=True)
    for family in options.families:
        n, draw = FAMILIES[family]
        x = draw(max(4, int(n * options.share)), np.random.default_rng(0))
        persistence = vietoris_rips(x)
        last = float(persistence.diagrams[1][:, 1].max())
        programs: dict[str, Callable[[], object]] = {OURS: lambda x=x: vietoris_rips(x)}
        if installed("gudhi"):
            programs["GUDHI, alpha"] = lambda x=x: _alpha(x)
            if len(x) <= options.all_pairs:
                programs["GUDHI, sparse Rips"] = lambda x=x, last=last: _sparse_rips(x, last)
        if installed("ripser"):
            programs["Ripser, edges to our last death"] = lambda x=x, last=last: _ripser(x, last)
        runs: dict[str, list[tuple[float, int]]] = {name: [] for name in programs}
        slow = set()
        for _ in range(options.repeats):
            for name, program in programs.items():
                if name in slow:
                    continue
                gc.collect()
                before = reset_process_peak() or 0
                start = time.process_time()
                program()
                runs[name].append((time.process_time() - start, process_peak() - before))
                if runs[name][-1][0] > options.patience:
                    slow.add(name)
        yield {
            "family": family,
            "points": len(x),
            "pairs": len(persistence.diagrams[1]),
            "last death": last,
            "seconds": {name: statistics.median(s for s, _ in results) for name, results in runs.items()},
            "peak_bytes": {name: max(b for _, b in results) for name, results in runs.items()},
        }


def _alpha(x: np.ndarray) -> object:
    import gudhi

    tree = gudhi.DelaunayComplex(points=x).create_simplex_tree(filtration="alpha")
    tree.compute_persistence()
    return tree.persistence_intervals_in_dimension(1)


def _sparse_rips(x: np.ndarray, longest: float) -> object:
    import gudhi

    tree = gudhi.RipsComplex(points=x, max_edge_length=longest, sparse=0.5).create_simplex_tree(max_dimension=2)
    tree.compute_persistence()
    return tree.persistence_intervals_in_dimension(1)


def _ripser(x: np.ndarray, longest: float) -> object:
    from ripser import ripser
    from scipy.sparse import coo_matrix
    from scipy.spatial import cKDTree

    pairs = cKDTree(x).query_pairs(longest * (1 + 1e-9), output_type="ndarray")
    lengths = np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=1)
    graph = coo_matrix((lengths, pairs.T), shape=(len(x), len(x)))
    return ripser(graph + graph.T, maxdim=1, distance_matrix=True)


def _page(rows: Rows) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row["seconds"]))
    times = [[row["seconds"].get(name) for name in names] for row in rows]
    peaks = [[row["peak_bytes"].get(name) for name in names] for row in rows]
    heads = [[row["family"], f"{row['points']:,}", f"{row['pairs']:,}"] for row in rows]
    return [
        "## Time",
        "",
        "CPU seconds, medians. Alpha complexes filter the same points in another way; the sparse Rips complex of "
        "GUDHI is an approximation (epsilon = 0.5); it and Ripser are told the last death, which they could not know.",
        "",
        *table(
            ["family", "points", "pairs of degree 1", *names],
            [head + ["" if t is None else f"{t:.2f}" for t in row] for head, row in zip(heads, times, strict=True)],
        ),
        "",
        "## Memory",
        "",
        "Rise of the peak in MB, the largest of all runs. A matrix of 100,000 points would take 80,000.",
        "",
        *table(
            ["family", "points", "pairs of degree 1", *names],
            [
                head + ["" if b is None else f"{b / 1e6:.0f}" for b in row]
                for head, row in zip(heads, peaks, strict=True)
            ],
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default=",".join(FAMILIES), help="separated by commas")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the points of each family")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds above which a program is not repeated")
    parser.add_argument("--all-pairs", type=int, default=20_000, help="most points for programs that go over all pairs")
    parser.add_argument("--keep", action="store_true", help="keep the rows of families that are not measured now")
    parser.add_argument("--note", default="", help="a sentence for the page on how this was measured")
    parser.add_argument("--dry", action="store_true", help="print only, write nothing")
    options = parser.parse_args()
    options.families = options.families.split(",")
    packages = ["torch", "numba", "numpy", "gudhi", "ripser"]
    keep(
        __file__,
        TITLE,
        {"clouds": clouds(options)},
        {"clouds": _page},
        packages,
        options.dry,
        options.note,
        options.keep,
    )


if __name__ == "__main__":
    main()
