"""One scan, from a file to a file: what a deployed network does."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from topokd.data.layout import RAW_IDS, read_scan
from topokd.errors import ParameterError
from topokd.evaluation.predict import predict
from topokd.evaluation.profiling import measure_latency, measure_peak_memory
from topokd.io import write_bytes
from topokd.models import load_checkpoint


def label_file(
    scan: str | Path, checkpoint: str | Path, output: str | Path, voxel_size: float, repeats: int = 0
) -> dict[str, str]:
    """Label the points of ``scan`` (float32 x, y, z, intensity) with the network in ``checkpoint``; write ``output``.

    ``output`` ends in .npy (class indices, int64) or .label (raw ids of SemanticKITTI, uint32; 19 classes). Returns
    what was done, in words; with ``repeats`` also the median time of reading, voxelising, the network and mapping back,
    and the most memory held meanwhile beside the weights. Raises :class:`DataError`, :class:`CheckpointError` and
    :class:`ParameterError` naming the file.
    """
    scan, output = Path(scan), Path(output)
    if output.suffix not in (".npy", ".label"):
        raise ParameterError(f"{output}: end the name in .npy (class indices) or .label (SemanticKITTI's raw ids)")
    model = load_checkpoint(checkpoint, None)  # type: ignore[var-annotated]
    if output.suffix == ".label" and model.num_classes != len(RAW_IDS):
        raise ParameterError(
            f"{output}: {checkpoint} has {model.num_classes} classes, not SemanticKITTI's {len(RAW_IDS)}, so they have "
            "no raw ids: write .npy"
        )

    def run() -> np.ndarray:
        return predict(model, read_scan(scan, None, scan.name), voxel_size)

    classes = run()
    if output.suffix == ".npy":
        stream = io.BytesIO()
        np.save(stream, classes)
        write_bytes(output, stream.getvalue())
    else:
        write_bytes(output, np.array(RAW_IDS, "<u4")[classes].tobytes())
    told = {"output": str(output), "points": f"{len(classes):,}", "network": model.preset}
    if repeats > 0:
        device = next(model.parameters()).device
        told["latency"] = f"{measure_latency(run, repeats, device, warm_up=0):.3f} s, file to classes"
        told["frames per second"] = f"{1 / float(told['latency'].split()[0]):.2f}"
        told["peak memory"] = f"{measure_peak_memory(run, device) / 1e6:.0f} MB beside the weights"
        told["weights"] = f"{sum(value.nbytes for value in model.state_dict().values()) / 1e6:.1f} MB"
    return told
