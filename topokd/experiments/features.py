"""Features of a trained network on one scan, sampled as the topological loss samples them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from topokd.data import collate, voxelize
from topokd.distillation import term_parameters
from topokd.models import PointTransformerV3, load_checkpoint
from topokd.params import Params
from topokd.scans import open_dataset
from topokd.topology import farthest_point_sampling, normalize_features
from topokd.training import run_of


def stage_features(
    params: Params, network: str, points: int
) -> tuple[Float[np.ndarray, "m c"], Float[np.ndarray, "m 3"]] | None:
    """Normalised features that the topological loss compares, on the scan of Figure 3.

    Args:
        params: parameters of the profile; ``params.terms["topo"]`` has stage and normalisation.
        network: ``"teacher"`` or a row of the ablation; its first seed is used.
        points: rows kept by farthest point sampling (Alg. 5).

    Returns:
        Features, and their positions in metres; None if the network has not been trained yet.
    """
    path = run_of(network, params.seeds[0], params).checkpoint
    if not path.is_file():
        return None
    model: PointTransformerV3 = load_checkpoint(path).eval()
    topology: Any = term_parameters("topo", params.terms["topo"])
    scan = open_dataset(params.data, params.data_root, "val")[params.evaluation.figure_scan]
    with torch.no_grad():
        _, taps = model(collate([voxelize(scan, params.data.voxel_size)]), taps=True)
    tap = taps[topology.stage]
    rows = normalize_features(tap.feat, topology.normalize)
    kept = farthest_point_sampling(rows, points)
    cell = params.data.voxel_size * 2**topology.stage  # each stage halves the grid
    return rows[kept].double().numpy(), (tap.grid_coord[kept].double() * cell).numpy()
