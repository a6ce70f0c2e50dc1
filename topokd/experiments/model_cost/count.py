"""``results/<profile>/model_cost.json``: the exact costs of teacher and student.

::

    {"tokens": {"voxels": int, "clouds": int, "voxel_size": float},   # FLOPs are of this batch: a whole scan
     "num_classes": int,
     "models": {role: {                                       # role: "teacher", "student"; presets of the benchmark
        "preset": str,
        "parameters": {"total", "encoder", "decoder", "head": int},        # the stem counts as encoder
        "modules": {module: int},                             # parameters of embedding, enc0.., dec3.., seg_head
        "architecture": {"enc_depths", "enc_channels", "enc_num_head": [int..], "patch_size": int,
                         "dec_depths", "dec_channels", "dec_num_head": [int..]},       # finest stage first
        "flops": {part: {"linear", "projections", "convolution", "attention", "total": int}}  # see flops.count_flops
     }},
     "ratios": {                                              # teacher over student
        "parameters": float, "blocks_encoder": float, "blocks_decoder": float,
        "flops": {part: {kind: float|null}},                  # kind as above, and "without_attention"
     },
     "scaling": [{"requested": int, "voxels": int, "flops": {role: int}}]}   # Figure 1 b: FLOPs of a forward pass
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import torch

from topokd.data import Voxels, collate
from topokd.experiments.model_cost.clouds import cut
from topokd.experiments.model_cost.flops import count_flops, count_parameters, parameters_by_module
from topokd.models import PointTransformerV3

ARCHITECTURE = (
    "enc_depths", "enc_channels", "enc_num_head", "dec_depths", "dec_channels", "dec_num_head", "patch_size",
)  # fmt: skip
Flops = dict[str, dict[str, int]]  # part -> kind -> count


def count_cost(
    models: dict[str, PointTransformerV3],
    voxels: Voxels,
    scaling: Iterable[int],
    voxel_size: float,
    large: Voxels | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """The document at the top of this file.

    FLOPs are counted on a whole scan because the ratios depend on the number of voxels in the coarse stages: distant,
    sparse ones rarely merge.

    Args:
        models: networks by role, ``"teacher"`` and ``"student"``.
        voxels: a whole scan.
        scaling: numbers of voxels n of Figure 1 b, taken from the n nearest voxels of the scan.
        voxel_size: size of ``voxels`` in metres.
        large: used for ``scaling`` where the scan has fewer voxels (`clouds.tile_along_x`).
        device: where the forward passes run.

    Returns:
        Parameters, FLOPs, their ratios and their growth with the number of voxels, as JSON types.

    Examples:
        >>> import numpy as np
        >>> from topokd.data import Scan, voxelize
        >>> from topokd.models import build_model
        >>> xyz = np.random.default_rng(0).uniform(0, 9, (50, 3)).astype(np.float32)
        >>> scan = Scan(xyz, np.ones(50, np.float32))
        >>> models = {role: build_model("ptv3-tiny") for role in ("teacher", "student")}
        >>> cost = count_cost(models, voxelize(scan, 0.5), scaling=[20], voxel_size=0.5)
        >>> cost["ratios"]["parameters"], cost["scaling"][0]["voxels"]
        (1.0, 20)
    """
    models = {role: model.to(device) for role, model in models.items()}
    cloud = collate([voxels]).to(device)
    parameters = {role: count_parameters(model) for role, model in models.items()}
    flops = {role: count_flops(model, cloud) for role, model in models.items()}
    return {
        "tokens": {"voxels": len(cloud.feat), "clouds": 1, "voxel_size": voxel_size},
        "num_classes": models["teacher"].num_classes,
        "models": {
            role: {
                "preset": model.preset,
                "parameters": parameters[role],
                "modules": parameters_by_module(model),
                "architecture": {key: asdict(model.config)[key] for key in ARCHITECTURE},
                "flops": flops[role],
            }
            for role, model in models.items()
        },
        "ratios": _ratios(models, parameters, flops),
        "scaling": [_scaling_point(models, cut(voxels, large, n), n, device) for n in scaling],
    }


def ratio(a: float, b: float) -> float | None:
    """a / b, None where b is 0."""
    return a / b if b else None


def _ratios(
    models: dict[str, PointTransformerV3], parameters: dict[str, dict[str, int]], flops: dict[str, Flops]
) -> dict[str, Any]:
    teacher, student = models["teacher"].config, models["student"].config
    return {
        "parameters": parameters["teacher"]["total"] / parameters["student"]["total"],
        "blocks_encoder": sum(teacher.enc_depths) / sum(student.enc_depths),
        "blocks_decoder": sum(teacher.dec_depths) / sum(student.dec_depths),
        "flops": _flop_ratios(flops["teacher"], flops["student"]),
    }


def _flop_ratios(teacher: Flops, student: Flops) -> dict[str, dict[str, float | None]]:
    ratios: dict[str, dict[str, float | None]] = {}
    for part in teacher:
        ratios[part] = {kind: ratio(teacher[part][kind], student[part][kind]) for kind in teacher[part]}
        dense = [counts[part]["total"] - counts[part]["attention"] for counts in (teacher, student)]
        ratios[part]["without_attention"] = ratio(*dense)
    return ratios


def _scaling_point(
    models: dict[str, PointTransformerV3], voxels: Voxels, requested: int, device: torch.device | str
) -> dict[str, Any]:
    batch = collate([voxels]).to(device)
    totals = {role: count_flops(model, batch)["total"]["total"] for role, model in models.items()}
    return {"requested": requested, "voxels": len(batch.feat), "flops": totals}
