"""Networks by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from topokd.errors import ParameterError
from topokd.models.config import Config
from topokd.models.ptv3 import PointTransformerV3
from topokd.options import whole
from topokd.schema import nearest

PRESETS = {
    "ptv3-teacher": Config(  # the paper's teacher (C.2, Table 5): 46.16 M parameters with 16 classes
        enc_depths=(2, 2, 2, 6, 2),
        enc_channels=(32, 64, 128, 256, 512),
        enc_num_head=(2, 4, 8, 16, 32),
        dec_depths=(2, 2, 2, 2),
        dec_channels=(64, 64, 128, 256),
        dec_num_head=(4, 4, 8, 16),
    ),
    "ptv3-student": Config(  # the paper's student: 2.78 M
        enc_depths=(1, 1, 1, 2, 1),
        enc_channels=(16, 16, 32, 64, 128),
        enc_num_head=(1, 1, 2, 4, 8),
        dec_depths=(1, 1, 1, 1),
        dec_channels=(64, 64, 128, 128),
        dec_num_head=(2, 2, 4, 8),
    ),
    "ptv3-teacher-medium": Config(  # the teacher of the default profile, trained on a CPU: 4.65 M
        enc_depths=(1, 1, 1, 2, 1),
        enc_channels=(32, 48, 96, 128, 192),
        enc_num_head=(2, 3, 6, 8, 12),
        dec_depths=(1, 1, 1, 1),
        dec_channels=(48, 48, 96, 128),
        dec_num_head=(3, 3, 6, 8),
        patch_size=128,
        drop_path=0.1,
    ),
    "ptv3-student-medium": Config(  # an eighth of it, same strides: 0.56 M
        enc_depths=(1, 1, 1, 1, 1),
        enc_channels=(16, 16, 32, 48, 64),
        enc_num_head=(1, 1, 2, 3, 4),
        dec_depths=(1, 1, 1, 1),
        dec_channels=(32, 32, 32, 48),
        dec_num_head=(2, 2, 2, 3),
        patch_size=128,
        drop_path=0.0,
    ),
    "ptv3-teacher-small": Config(  # for training on a CPU: 2.30 M
        enc_depths=(1, 1, 1, 2, 1),
        enc_channels=(16, 32, 64, 96, 128),
        enc_num_head=(1, 2, 4, 6, 8),
        dec_depths=(1, 1, 1, 1),
        dec_channels=(32, 32, 64, 96),
        dec_num_head=(2, 2, 4, 6),
        patch_size=128,
        drop_path=0.1,
    ),
    "ptv3-student-small": Config(  # a sixteenth of the small teacher, same strides: 0.14 M
        enc_depths=(1, 1, 1, 1, 1),
        enc_channels=(8, 8, 16, 24, 32),
        enc_num_head=(1, 1, 1, 1, 2),
        dec_depths=(1, 1, 1, 1),
        dec_channels=(16, 16, 16, 24),
        dec_num_head=(1, 1, 1, 1),
        patch_size=128,
        drop_path=0.0,
    ),
    "litept-student-medium": Config(  # as many parameters as ptv3-student-medium, arranged as LitePT (docs/models.md)
        enc_depths=(1, 1, 1, 2, 1),
        enc_channels=(16, 32, 56, 90, 126),
        enc_num_head=(1, 1, 2, 5, 7),
        dec_depths=(0, 0, 0, 0),
        dec_channels=(32, 32, 56, 90),
        dec_num_head=(1, 1, 2, 5),
        patch_size=128,
        drop_path=0.0,
        enc_blocks=("convolution", "convolution", "convolution", "attention", "attention"),
        rope_base=100.0,
    ),
    "ptv3-tiny": Config(  # for tests
        enc_depths=(1, 1, 1, 1, 1),
        enc_channels=(8, 8, 8, 16, 16),
        enc_num_head=(1, 1, 1, 2, 2),
        dec_depths=(1, 1, 1, 1),
        dec_channels=(8, 8, 8, 16),
        dec_num_head=(1, 1, 1, 2),
        patch_size=32,
        drop_path=0.1,
    ),
}


def build_model(preset: str, in_channels: int = 4, num_classes: int = 16, **changes: Any) -> PointTransformerV3:
    """Build a freshly initialised network; the global generator of torch draws its weights.

    Args:
        preset: a key of ``PRESETS``.
        in_channels: features per voxel.
        num_classes: logits per voxel.
        changes: fields of `Config` to replace, such as ``drop_path=0.0`` or ``patching="batch"``.

    Returns:
        The network, in training mode, on the CPU.

    Raises:
        ParameterError: for an unknown preset or field, or a value that no network can be built from.

    Examples:
        >>> model = build_model("ptv3-student", num_classes=16)
        >>> sum(p.numel() for p in model.parameters())
        2777344
    """
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ParameterError(f"unknown model preset {preset!r}: {nearest(preset, PRESETS)}")
    if unknown := sorted(set(changes) - set(Config.__dataclass_fields__)):
        raise ParameterError(
            f"a network has no field {', '.join(unknown)}: choose from {', '.join(Config.__dataclass_fields__)}"
        )
    in_channels = whole(in_channels, "in_channels", most=4096)
    num_classes = whole(num_classes, "num_classes", most=1 << 16)
    model = PointTransformerV3(replace(PRESETS[preset], **changes), in_channels, num_classes)
    model.preset = preset
    return model
