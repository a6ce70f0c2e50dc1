"""Point Transformer V3: the teacher and student networks, their presets and checkpoints."""

from topokd.models.checkpoint import load_checkpoint, read_description, read_metadata, save_checkpoint
from topokd.models.config import Config
from topokd.models.modes import evaluation_mode
from topokd.models.presets import PRESETS, build_model
from topokd.models.ptv3 import PointTransformerV3
from topokd.models.tap import Tap

__all__ = [
    "PRESETS",
    "Config",
    "PointTransformerV3",
    "Tap",
    "build_model",
    "evaluation_mode",
    "load_checkpoint",
    "read_description",
    "read_metadata",
    "save_checkpoint",
]
