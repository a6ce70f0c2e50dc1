"""2,000 random and adversarial clouds: our diagrams against those of other engines, and a certificate for each.

`python benchmarks/zero_differences.py` writes zero_differences.md and .json. Clouds come from ten families (uniform,
many channels, whole coordinates, grids, duplicates, lines, distant clusters, polygons, rectified unit vectors, noisy
circles) and from arbitrary symmetric matrices with and without ties; half have a threshold. A difference is a pair of
degree 0 or 1, or a class that lives on, that one engine has and the other has not, after rounding to float32.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import gudhi
import numpy as np
from gph import ripser_parallel
from tqdm import tqdm

from tests.topology.clouds import random_cloud, random_distances
from topokd.errors import CertificateError
from topokd.io import write_json, write_text
from topokd.machine import processor_name
from topokd.topology import squared_distances, vietoris_rips
from topokd.topology.certificate import check

Diagram = Counter[tuple[float, float]]
FOLDER = Path(__file__).parent


def case(seed: int) -> tuple[np.ndarray, float]:
    """Distances (n, n), exact in float32, and the threshold of a seed."""
    rng = np.random.default_rng(seed + 10**6)
    most = int(rng.choice([8, 20, 40, 80]))
    distances = random_distances(seed, most) if seed % 11 == 0 else np.sqrt(squared_distances(random_cloud(seed, most)))
    distances = distances.astype(np.float32).astype(np.float64)
    top = float(distances.max())
    return distances, np.inf if seed % 2 or top == 0 else float(np.float32(rng.uniform(0.2, 1.0) * top))


def ours(distances: np.ndarray, threshold: float) -> list[Diagram]:
    persistence = vietoris_rips(distances, metric="precomputed", threshold=threshold, certificate=True)
    check(distances, persistence, metric="precomputed", threshold=threshold)
    return [
        Counter([*map(tuple, pairs.tolist()), *((birth, np.inf) for birth in lives.tolist())])
        for pairs, lives in zip(persistence.diagrams, persistence.essential, strict=True)
    ]


def counted(pairs: np.ndarray) -> Diagram:
    return Counter(
        tuple(pair) for pair in np.asarray(pairs, dtype=np.float64).reshape(-1, 2).tolist() if pair[1] > pair[0]
    )


def with_giotto(distances: np.ndarray, threshold: float) -> list[Diagram]:
    diagrams = ripser_parallel(distances, metric="precomputed", maxdim=1, thresh=threshold, n_threads=1)["dgms"]
    return [counted(pairs) for pairs in diagrams]


def with_gudhi(distances: np.ndarray, threshold: float) -> list[Diagram]:
    rips = gudhi.RipsComplex(distance_matrix=distances, max_edge_length=threshold)
    tree = rips.create_simplex_tree(max_dimension=2)
    tree.compute_persistence(homology_coeff_field=2, persistence_dim_max=True)  # its default is Z/11
    return [counted(tree.persistence_intervals_in_dimension(dim)) for dim in (0, 1)]


OTHERS: dict[str, Callable[[np.ndarray, float], list[Diagram]]] = {"giotto-ph": with_giotto, "gudhi": with_gudhi}


def compare(clouds: int, first: int = 0) -> dict:
    """Pairs compared, differences by engine (seeds), rejected certificates (seeds)."""
    differences: dict[str, list[int]] = {name: [] for name in OTHERS}
    refused, pairs, points = [], 0, 0
    for seed in tqdm(range(first, first + clouds), disable=None):
        distances, threshold = case(seed)
        try:
            own = ours(distances, threshold)
        except CertificateError:
            refused.append(seed)
            continue
        pairs, points = pairs + sum(diagram.total() for diagram in own), points + len(distances)
        for name, other in OTHERS.items():
            if other(distances, threshold) != own:
                differences[name].append(seed)
    return {"clouds": clouds, "points": points, "pairs": pairs, "differences": differences, "refused": refused}


def report(record: dict) -> str:
    rows = [f"| {name} {record['versions'][name]} | {len(seeds)} |" for name, seeds in record["differences"].items()]
    return "\n".join(
        [
            "# Differences from other engines",
            "",
            "`python benchmarks/zero_differences.py` wrote this page.",
            "",
            f"{record['clouds']:,} clouds with {record['points']:,} points and {record['pairs']:,} classes of degrees "
            "0 and 1 (random, degenerate and adversarial; half with a threshold), compared exactly in float32 "
            "distances.",
            f"{len(record['refused'])} certificates were rejected. {record['seconds']:.0f} s on {record['machine']}.",
            "",
            "| engine | clouds that differ |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clouds", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    arguments = parser.parse_args()
    start = time.perf_counter()
    record = compare(arguments.clouds, arguments.first)
    record |= {
        "seconds": time.perf_counter() - start,
        "machine": processor_name(),
        "versions": {name: importlib.metadata.version(name) for name in OTHERS},
    }
    write_json(FOLDER / "zero_differences.json", record)
    write_text(FOLDER / "zero_differences.md", report(record))


if __name__ == "__main__":
    main()
