"""Automatic mixed precision: the number format of each choice."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch

from topokd.choices import Amp

AMP_DTYPES: dict[Amp, torch.dtype | None] = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(amp: Amp, device: torch.device) -> AbstractContextManager:
    """A context in which the networks compute in another precision; it does nothing on a CPU.

    Args:
        amp: "off", "bf16" or "fp16".
        device: device of the networks.

    Examples:
        >>> with autocast("bf16", torch.device("cpu")):
        ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        torch.float32
    """
    dtype = AMP_DTYPES[amp]
    if dtype is None or device.type != "cuda":
        return contextlib.nullcontext()
    return torch.autocast("cuda", dtype=dtype)


def gradient_scaler(amp: Amp, device: torch.device) -> torch.amp.GradScaler:
    """Loss scaling for the precision ``amp``; enabled only for float16 on a GPU (``device``)."""
    return torch.amp.GradScaler("cuda", enabled=amp == "fp16" and device.type == "cuda")
