"""What half and double of each tuning constant of the sweep cost: `python benchmarks/constants.py [--constants NAMES]`.

Constants are compiled into the kernels, so each value runs in a separate process with a separate cache, which takes a
quarter of a minute to compile. The processes take turns on the same clouds, and the CPU time of a turn is divided by
that of the committed value in the same round. A second process with the committed value shows how much two equal
processes differ. Diagrams must be equal: these constants may change only the time.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from point_clouds import FAMILIES
from report import Rows, keep, table

from topokd.topology import vietoris_rips

TITLE = "Tuning constants of the sweep"
MODULES = ("active_edges", "annotations", "candidates", "class_sums", "edge_order", "lunes", "state", "sweep")
CONSTANTS = (
    "MIN_EDGES_PER_VERTEX", "MIN_VERTICES_PER_CLASS", "REFRESH_FACTOR",
    "MIN_WORK_TO_REFRESH", "MOST_WORK_OF_SUMMAND", "HUBS", "MIN_DENSE", "WORDS_PER_ENTRY", "SAMPLED_EDGES",
    "EDGES_PER_SAMPLE", "MAX_INSERTION", "EDGES_PER_BATCH",
)  # fmt: skip
CLOUDS = ("uniform in R^3", "clustered features", "features without clusters", "sphere in R^64")
FACTORS = {"half": 0.5, "double": 2.0, "same": 1.0}


def kernels() -> list[Any]:
    return [importlib.import_module(f"topokd.topology.kernels.{name}") for name in MODULES]


def committed(constant: str) -> int:
    return next(int(getattr(kernel, constant)) for kernel in kernels() if hasattr(kernel, constant))


def serve(constant: str, value: int) -> None:
    """Set the constant wherever a kernel has its name, before anything is compiled; then time one cloud per line."""
    for kernel in kernels():
        if hasattr(kernel, constant):
            setattr(kernel, constant, value)
    for line in sys.stdin:
        family, size = line.rstrip("\n").split("\t")
        cloud = np.ascontiguousarray(FAMILIES[family](int(size), np.random.default_rng(0)), dtype=np.float64)
        began = time.process_time()
        diagrams = vietoris_rips(cloud).diagrams
        seconds = time.process_time() - began
        digest = hashlib.sha256(b"".join(diagram.numpy().tobytes() for diagram in diagrams)).hexdigest()
        print(f"{seconds}\t{digest}", flush=True)


class Variant:
    """A process with one value of a constant."""

    def __init__(self, constant: str, value: int, cache: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", constant, str(value)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "TOPOKD_CACHE": str(cache)},
        )  # fmt: skip

    def run(self, family: str, size: int) -> tuple[float, str]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{family}\t{size}\n")
        self.process.stdin.flush()
        seconds, digest = self.process.stdout.readline().split()
        return float(seconds), digest

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def measure(constants: list[str], size: int, repeats: int, folder: Path) -> Iterator[dict[str, Any]]:
    for constant in constants:
        value = committed(constant)
        values = {"committed": value, **{name: max(1, int(value * factor)) for name, factor in FACTORS.items()}}
        variants = {
            name: Variant(constant, each, folder / ("committed" if each == value else f"{constant}-{each}"))
            for name, each in values.items()
        }
        try:
            for family in CLOUDS:
                turns: dict[str, list[float]] = {name: [] for name in variants}
                for turn in range(repeats + 1):  # the first compiles
                    names = list(variants)
                    names = names[turn % 4 :] + names[: turn % 4]  # none always comes first
                    runs = {name: variants[name].run(family, size) for name in names}
                    if len({digest for _, digest in runs.values()}) > 1:
                        raise SystemExit(f"{constant}: the diagrams of {family} depend on it")
                    if turn:
                        for name, (seconds, _) in runs.items():
                            turns[name].append(seconds / runs["committed"][0])
                yield {
                    "constant": constant, "value": value, "family": family, "points": size,
                    **{name: statistics.median(turns[name]) for name in FACTORS},
                }  # fmt: skip
        finally:
            for variant in variants.values():
                variant.close()


def section(rows: Rows) -> list[str]:
    """One line per constant; ratios above 1: the committed value is faster."""
    families = list(dict.fromkeys(row["family"] for row in rows))
    by_constant: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_constant.setdefault(row["constant"], {})[row["family"]] = row
    differences = [abs(math.log(row["same"])) for row in rows]
    noise, typical = max(differences), statistics.median(differences)
    return [
        f"CPU time of the diagrams of {rows[0]['points']:,} points with half and double of a constant, divided by that "
        "with the committed value; medians over turns. Above 1 the committed value is faster. Diagrams are equal. Two "
        f"processes with the committed value differed by up to {100 * noise:.0f} %, half of them by more than "
        f"{100 * typical:.0f} %: smaller differences say nothing.",
        "",
        *table(
            ["constant", "committed", *(f"{family}: half / double" for family in families)],
            (
                [
                    f"`{constant}`",
                    f"{next(iter(of_family.values()))['value']:,}",
                    *(f"{of_family[f]['half']:.2f} / {of_family[f]['double']:.2f}" for f in families if f in of_family),
                ]
                for constant, of_family in by_constant.items()
            ),
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--constants", default=",".join(CONSTANTS), help="names, with commas between them")
    parser.add_argument("--points", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--dry", action="store_true", help="print only")
    parser.add_argument("--serve", nargs=2, metavar=("NAME", "VALUE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], int(options.serve[1]))
        return
    with tempfile.TemporaryDirectory(prefix="topokd-constants-") as folder:
        rows = measure(options.constants.split(","), options.points, options.repeats, Path(folder))
        keep(__file__, TITLE, {"constants": rows}, {"constants": section}, ["torch", "numpy", "numba"], options.dry)


if __name__ == "__main__":
    main()
