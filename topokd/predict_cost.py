"""Time and memory of labelling one file: what ``topokd predict --measure`` prints."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

from jaxtyping import Int64
from numpy import ndarray

from topokd.errors import DataError
from topokd.experiments.measurement import measure_latency, measure_peak_memory
from topokd.labelling import Labeller


def measure_file(
    labeller: Labeller,
    file: str | Path,
    repeats: int,
    **reading: Any,
) -> dict[str, float]:
    """Cost of one scan, from the file on disk to a class per point in memory.

    Args:
        labeller: the network.
        file: one scan.
        repeats: timed runs after a first one that warms up.
        reading: options of `read_cloud`.

    Returns:
        ``latency_s``: median time to read the file, voxelize, run the network and map back; ``peak_tensor_bytes``: most
        memory in tensors besides the weights (on CUDA: on the GPU); ``weight_bytes``; ``process_bytes``: most memory
        that this process has held so far, Python and torch included.

    Raises:
        DataError: ``file`` is not a file or cannot be read, or ``repeats`` is below 1.
    """
    file = Path(file)
    if not file.is_file():
        raise DataError(f"{file} is not a file: the cost is measured on one scan")
    if repeats < 1:
        raise DataError(f"--measure {repeats}: give at least 1 run")

    def run() -> Int64[ndarray, " n"]:
        return labeller(labeller.read(file, log_notes=False, **reading))

    latency = measure_latency(run, repeats, labeller.device)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "latency_s": latency,
        "peak_tensor_bytes": measure_peak_memory(run, labeller.device),
        "weight_bytes": sum(value.nbytes for value in labeller.model.state_dict().values()),
        "process_bytes": resident,
    }
