"""Matrix products on a CPU, by the faster of torch's two libraries.

torch's float32 products go to Intel's MKL, which does not use the 512-bit units of other makers' processors; oneDNN,
which also comes with torch, does, and is about twice as fast there (benchmarks/models.py measures it). Everywhere else,
and for every other dtype and device, products are torch's own. Both are exact to float rounding and repeat bit for bit.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


@functools.cache
def onednn_pays() -> bool:
    """Whether float32 products on this CPU go to oneDNN: it is there, and MKL holds back.

    >>> isinstance(onednn_pays(), bool)
    True
    """
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()):
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise") or "AVX512" not in torch.backends.cpu.get_cpu_capability():
        return False
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            maker = next((line for line in stream if line.startswith("vendor_id")), "")
    except OSError:
        return False
    return bool(maker) and "GenuineIntel" not in maker


def product(
    x: Float[Tensor, "n a"], weight: Float[Tensor, "b a"], bias: Float[Tensor, " b"] | None = None
) -> Float[Tensor, "n b"]:
    """``x @ weight.t() + bias``, differentiable as often as one likes."""
    if not _takes(x, weight):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return _Product.apply(x, weight, bias)
    return _onednn(x, weight, bias)


def _takes(x: Tensor, weight: Tensor) -> bool:
    plain = x.dtype == weight.dtype == torch.float32 and x.device.type == weight.device.type == "cpu"
    if not plain or x.ndim != 2 or x.numel() == 0 or weight.numel() == 0 or not onednn_pays():
        return False
    return not (torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling() or torch.jit.is_tracing())


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        return _onednn(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad = grads[0]
        grad_x = product(grad, weight.t()) if ctx.needs_input_grad[0] else None
        grad_weight = product(grad.t(), x.t()) if ctx.needs_input_grad[1] else None
        return grad_x, grad_weight, grad.sum(0) if ctx.biased else None


class Linear(nn.Linear):
    """torch's linear layer, with :func:`product` inside."""

    def forward(self, x: Float[Tensor, "n a"]) -> Float[Tensor, "n b"]:
        """``x @ weight.t() + bias``."""
        return product(x, self.weight, self.bias)
