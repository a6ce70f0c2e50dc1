"""Rotary position embedding in three dimensions: attention depends on the offset between two voxels."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def rotate(x: Float[Tensor, "n h d"], grid_coord: Int64[Tensor, "n 3"], base: float) -> Float[Tensor, "n h d"]:
    """Rotate pairs of channels by angles proportional to a voxel's position, a third of the channels for each axis.

    (a, b) <- (a cos t - b sin t, a sin t + b cos t), t = position / base^(k / K) for the pairs k = 0 .. K - 1 of an
    axis. The product of a rotated query and a rotated key depends only on the difference of their positions
    (RoFormer: Su et al., 2021; in three dimensions, as PointROPE, in LitePT: Yue et al., CVPR 2026). No parameters.

    Args:
        x: (n, h, d) queries or keys of h heads; d a multiple of 6.
        grid_coord: (n, 3) voxel positions.
        base: base of the geometric series of wavelengths.

    Examples:
        >>> x, at = torch.randn(2, 1, 12), torch.tensor([[5, 0, 9], [7, 1, 9]])
        >>> q, k = rotate(x, at, 100.0)[:, 0]
        >>> moved = rotate(x, at + 30, 100.0)[:, 0]
        >>> torch.allclose(q @ k, moved[0] @ moved[1], atol=1e-4)
        True
    """
    pairs = x.shape[-1] // 6  # K
    wavelength = base ** (torch.arange(pairs, device=x.device, dtype=torch.float32) / pairs)
    angle = grid_coord[:, None, :, None] / wavelength  # (n, 1, 3, K)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.unflatten(-1, (3, 2, pairs)).unbind(-2)  # (n, h, 3, K) each
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-2).flatten(-3)
