"""Features of a trained network on one scan, sampled as the topological loss samples them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from topokd.data import collate, voxelize
from topokd.models import PointTransformerV3, load_checkpoint
from topokd.params import Params
from topokd.scans import open_dataset
from topokd.topology import farthest_point_sampling
from topokd.topology.loss import normalize_features


def stage_features(
    params: Params, run: str, points: int
) -> tuple[Float[np.ndarray, "m c"], Float[np.ndarray, "m 3"]] | None:
    """Normalised features of ``terms.topo.stage`` on Figure 3's scan, and their places in metres.

    ``run``: ``teacher-seed0``, ``full-seed0``, ...; ``points``: rows kept by farthest point sampling (Alg. 5).
    None when the run has not been trained yet.
    """
    path = params.workspace / "checkpoints" / f"{run}.safetensors"
    if not path.is_file():
        return None
    model: PointTransformerV3 = load_checkpoint(path).eval()
    scan = open_dataset(params.data, params.data_root, "val")[params.evaluation.figure_scan]
    stage = params.terms["topo"]["stage"]
    with torch.no_grad():
        _, taps = model(collate([voxelize(scan, params.data.voxel_size)]), taps=True)
    rows = normalize_features(taps[stage].feat, params.terms["topo"]["normalize"])
    kept = farthest_point_sampling(rows, points)
    cell = params.data.voxel_size * 2**stage  # each stage halves the grid
    return rows[kept].double().numpy(), (taps[stage].grid_coord[kept].double() * cell).numpy()
