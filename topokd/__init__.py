"""Topology- and gradient-guided knowledge distillation of point-cloud segmentation networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `import topokd` alone must not import torch
    from topokd.models import PointTransformerV3

__all__ = ["load"]
__version__ = "0.1.0"


def load(path: str | Path, preset: str | None = None) -> PointTransformerV3:
    """Build a network with the weights of a checkpoint.

    Args:
        path: a `.safetensors` file written by training, by the pipeline or by `topokd.models.save_checkpoint`; it names
            its architecture. Or published PTv3 weights (`.pth`), together with `preset`.
        preset: the architecture of published weights: a key of `topokd.models.PRESETS`, such as "ptv3-teacher". Classes
            and features per voxel are read from the shapes of the weights.

    Returns:
        The network in evaluation mode, on the CPU.

    Raises:
        topokd.errors.CheckpointError: the file is missing or is not a checkpoint, does not name its network, or belongs
            to another one.

    Examples:
        >>> import tempfile
        >>> import topokd
        >>> from topokd.models import build_model, save_checkpoint
        >>> file = Path(tempfile.mkdtemp(), "model.safetensors")
        >>> save_checkpoint(file, build_model("ptv3-tiny", num_classes=5))
        >>> topokd.load(file).num_classes
        5
    """
    from topokd.models.checkpoint import load_network

    return load_network(path, preset)
