"""Compare the topology layer of this checkout with that of an older one; writes benchmarks/old_and_new.md.

    git worktree add /tmp/old COMMIT
    python benchmarks/old_and_new.py /tmp/old
    python benchmarks/old_and_new.py /tmp/old --sizes 128 --repeats 20 --dry

Both packages are loaded into one process and take turns on the same clouds, on one thread: points to diagrams of
degrees 0 and 1, and the gradient of their sum. Run it when a change must not make the layer slower.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from point_clouds import FAMILIES
from report import Rows, keep, table
from timing import interleaved

TITLE = "The topology layer of two commits"
PACKAGE = "topokd"


class Checkout:
    """The package in a folder; the same process can load the packages of several folders.

    Args:
        folder: with ``topokd/``.
    """

    def __init__(self, folder: Path) -> None:
        self.modules: dict[str, ModuleType] = {}
        sys.path.insert(0, str(folder))
        with self.active():
            from topokd import topology

            assert topology.__file__ is not None
            if not Path(topology.__file__).is_relative_to(folder):
                raise SystemExit(f"{folder} does not contain {PACKAGE}/topology")
        sys.path.remove(str(folder))

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Inside, ``import topokd`` means this package, also for imports inside its functions."""
        saved = _taken_out()
        sys.modules.update(self.modules)
        try:
            yield
        finally:
            self.modules = _taken_out()
            sys.modules.update(saved)

    def run(self, cloud: np.ndarray, times: int = 1) -> list[np.ndarray]:
        """Diagrams of degrees 0 and 1, and the gradient of the sum of their values; ``times`` times."""
        with self.active():
            from topokd.topology import vietoris_rips

            for _ in range(times):
                x = torch.from_numpy(cloud).requires_grad_()
                diagrams = vietoris_rips(x).diagrams[:2]
                torch.cat(diagrams).sum().backward()
        assert x.grad is not None
        return [*(d.detach().numpy() for d in diagrams), x.grad.numpy()]


def _taken_out() -> dict[str, ModuleType]:
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == PACKAGE}


def commit(folder: Path) -> str:
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def speed(old: Path, new: Path, sizes: list[int], repeats: int) -> Iterator[dict[str, Any]]:
    packages = {"old": Checkout(old), "new": Checkout(new)}
    commits = {name: commit(folder) for name, folder in (("old", old), ("new", new))}
    for family, draw in FAMILIES.items():
        for size in sizes:
            cloud = np.ascontiguousarray(draw(size, np.random.default_rng(0)), dtype=np.float64)
            times = max(1, 1000 // size)  # calls of a turn
            outputs = {name: package.run(cloud) for name, package in packages.items()}
            works = {name: partial(package.run, cloud, times) for name, package in packages.items()}
            seconds = interleaved(works, repeats, "wall")
            yield {
                "commits": commits, "family": family, "M": size,
                **{f"{name} ms": 1e3 * statistics.median(turns) / times for name, turns in seconds.items()},
                "new / old": statistics.median(n / o for n, o in zip(seconds["new"], seconds["old"], strict=True)),
                "difference": max(map(_difference, outputs["old"], outputs["new"])),
            }  # fmt: skip


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference, relative to the largest value; infinite if the numbers of pairs differ."""
    return float(np.abs(a - b).max() / np.abs(a).max()) if a.shape == b.shape else math.inf


def page(rows: Rows) -> list[str]:
    commits, sizes = rows[0]["commits"], sorted({row["M"] for row in rows})
    lines = table(
        ["family", "M", "old, ms", "new, ms", "new / old", "largest difference"],
        ([r["family"], f"{r['M']:,}", f"{r['old ms']:.3g}", f"{r['new ms']:.3g}", f"{r['new / old']:.3f}",
          f"{r['difference']:.1e}" if r["difference"] else "0"] for r in rows),
    )  # fmt: skip
    means = {m: math.exp(statistics.mean(math.log(r["new / old"]) for r in rows if r["M"] == m)) for m in sizes}
    return [
        f"## {commits['old']} (old) against {commits['new']} (new)", "",
        "Points to diagrams of degrees 0 and 1 and the gradient of their sum, one thread; medians of the times and of "
        "the ratios of neighbouring turns. Differences of the results are relative to the largest value.", "",
        *lines, "",
        "Geometric mean of the ratios: " + ", ".join(f"{mean:.3f} at M = {m:,}" for m, mean in means.items()) + ".",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="folder of the older checkout")
    parser.add_argument("--sizes", default="128,1024", help="points of the clouds")
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--dry", action="store_true", help="print only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    here = Path(__file__).resolve().parent.parent
    rows = speed(options.old.resolve(), here, [int(size) for size in options.sizes.split(",")], options.repeats)
    keep(__file__, TITLE, {"speed": rows}, {"speed": page}, ["torch", "numpy", "numba"], options.dry)


if __name__ == "__main__":
    main()
