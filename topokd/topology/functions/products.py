"""Matrix products that keep their precision under autocast."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def product(a: Float[Tensor, "*b n k"], b: Float[Tensor, "*b k m"]) -> Float[Tensor, "*b n m"]:
    """``a @ b`` in their own type, which autocast would round to half precision.

    Examples:
        >>> a = torch.full((1, 1), 1.001)
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     (a @ a).item(), round(product(a, a).item(), 4)
        (1.0, 1.002)
    """
    if not torch.is_autocast_enabled(a.device.type):
        return a @ b
    with torch.autocast(a.device.type, enabled=False):
        return a @ b
