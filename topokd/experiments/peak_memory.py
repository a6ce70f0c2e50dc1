"""Peak memory of the topological loss, measured in a separate process (Table 8).

In a process that has run before, the allocator reuses free pages, which hides the memory that a call needs. Here a new
process per engine runs one small loss (imports, compiled kernels). Then, for each number of points, it returns its free
pages to the system, resets its peak, runs the loss forward and backward once, and reports how much its peak grew. Each
allocation gets its own pages, so that small clouds count too.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Sequence

import numpy as np

WARM_UP = 20  # points of the first loss, which is not counted
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": "4096",
    "MALLOC_TRIM_THRESHOLD_": "0",
    "MALLOC_ARENA_MAX": "1",
    "LD_PRELOAD": "",  # no other allocator and no huge pages, which notebooks use: a small array would count 2 MB
    "GLIBC_TUNABLES": "",
}


def peak_memory(engine: str, points: Sequence[int], channels: int, seed: int = 0) -> dict[int, int | None]:
    """Growth of the peak memory of a new process by one forward and backward pass, in bytes.

    Args:
        engine: engine of the diagrams.
        points: numbers of points of the clouds.
        channels: number of features per point.
        seed: seed of the clouds.

    Returns:
        Bytes by number of points; None if the system does not report a peak (only Linux does).
    """
    command = [sys.executable, "-m", __name__, engine, str(channels), str(seed), *map(str, points)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, **ALLOCATOR}, text=True)
    return {int(n): peak for n, peak in json.loads(done.stdout.splitlines()[-1]).items()}


def _measure(engine: str, channels: int, seed: int, points: Sequence[int]) -> dict[int, int | None]:
    import torch

    from topokd.experiments.measurement import process_peak, reset_process_peak
    from topokd.experiments.shapes import features
    from topokd.memory import release_free_memory
    from topokd.topology.chamfer import persistence_weighted_chamfer
    from topokd.topology.persistence import vietoris_rips

    torch.set_num_threads(1)
    peaks: dict[int, int | None] = {}
    for n in (WARM_UP, *points):
        rng = np.random.default_rng([seed, n])
        teacher, student = (torch.from_numpy(features(n, rng, channels)).float() for _ in range(2))
        reference = [diagram.float() for diagram in vietoris_rips(teacher).diagrams]
        student.requires_grad_(True)
        gc.collect()
        release_free_memory()
        before = reset_process_peak()
        diagrams = vietoris_rips(student, engine=engine).diagrams
        torch.stack(
            [persistence_weighted_chamfer(a, b) for a, b in zip(reference, diagrams, strict=True)]
        ).sum().backward()
        peaks[n] = None if before is None else process_peak() - before
    del peaks[WARM_UP]
    return peaks


if __name__ == "__main__":
    name, *numbers = sys.argv[1:]
    print(json.dumps(_measure(name, int(numbers[0]), int(numbers[1]), [int(n) for n in numbers[2:]])))
