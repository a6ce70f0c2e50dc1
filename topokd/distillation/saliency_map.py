"""Saliency maps of features, and the gradients that they are made from (Sec. 3.3, Eq. 4-6)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from topokd.checks import TEACHER_ADVICE, real_tensor, require_finite
from topokd.clouds import Clouds, Features, Offsets, at_least_float32, cloud_ends
from topokd.errors import DataError
from topokd.options import number
from topokd.precision import without_autocast


class NoGraphError(ValueError):
    """A loss was computed without a graph, so it has no gradients in features."""


def saliency_map(
    feat: Float[Tensor, "n c"],
    grad: Float[Tensor, "n c"],
    offsets: Offsets,
    eps: float = 1e-6,
) -> Float[Tensor, " n"]:
    """Gradient-weighted activation map M^ of each cloud (Eq. 4-6).

    omega_k = 1/N sum_i |grad_ik|;  M_i = sum_k |omega_k F_ik|;  M^ = (M - min M) / (max M - min M + eps), in 0..1,
    for the N rows of one cloud. Differentiable in ``feat``, and in ``grad`` if that has a graph.

    Args:
        feat: (n, c) features F of all clouds.
        grad: (n, c) gradient of the segmentation loss in F.
        offsets: (b,) cumulative rows per cloud, or None for one cloud; a cloud's map does not depend on the others.
        eps: stabiliser of Eq. 6, absolute.

    Returns:
        (n,) map.

    Raises:
        DataError: ``feat`` and ``grad`` do not have the same shape (n, c) or are not finite, or ``offsets`` do not fit.
        ParameterError: ``eps`` is not a valid number.

    Examples:
        >>> feat = torch.tensor([[1.0, 0.0], [0.0, -3.0], [1.0, 1.0]])
        >>> grad = torch.tensor([[0.0, 2.0], [4.0, 2.0], [2.0, 2.0]])  # omega = (2, 2), M = (2, 6, 4)
        >>> saliency_map(feat, grad, torch.tensor([3]), eps=0.0)
        tensor([0.0000, 1.0000, 0.5000])
    """
    eps = number(eps, "eps")
    feat, grad = real_tensor(feat, "feat"), real_tensor(grad, "grad")
    if feat.dim() != 2 or feat.shape != grad.shape:
        raise DataError(f"feat {tuple(feat.shape)} and grad {tuple(grad.shape)} must both be (n, c)")
    require_finite(feat, "feat")
    require_finite(grad, "grad")
    ends = cloud_ends(offsets, len(feat))
    maps = []
    for rows, gradient in zip(Clouds(feat, ends).split(), Clouds(grad, ends).split(), strict=True):
        omega = gradient.abs().mean(0)  # (c,), Eq. 4
        response = (omega * rows).abs().sum(1)  # (n_cloud,), Eq. 5
        low, high = response.min(), response.max()
        if eps == 0 and bool(low == high):  # the quotient of Eq. 6 is 0 / 0
            maps.append(response - low)
            continue
        maps.append((response - low) / (high - low + eps))  # Eq. 6
    return torch.cat(maps) if maps else feat.sum(1)


def map_rows(given: Features, rows: int, name: str = "teacher_map") -> Float[Tensor, " n"]:
    """A finished map of the teacher: one finite value per row, in float32 at least, without a graph.

    Args:
        given: (n,), or another shape of n values, such as (n, 1) and (b, h, w); or a list of such, one per cloud.
        rows: n, the student's rows.
        name: the argument's name in error messages.

    Raises:
        DataError: there are more or fewer values than rows, or one is not finite.

    Examples:
        >>> map_rows(torch.tensor([[0.0], [1.0]]), 2)
        tensor([0., 1.])
        >>> map_rows(torch.zeros(9), 10)
        Traceback (most recent call last):
        topokd.errors.DataError: teacher_map has 9 values for 10 rows: give one per row of the student's features
    """
    parts = given if isinstance(given, list | tuple) else [given]
    flat = [real_tensor(part, name).detach().reshape(-1) for part in parts]
    values = torch.cat(flat) if flat else torch.zeros(0)
    if len(values) != rows:
        raise DataError(f"{name} has {len(values)} values for {rows} rows: give one per row of the student's features")
    require_finite(values, name, TEACHER_ADVICE)
    return at_least_float32(values)


def feature_gradients(
    loss: Tensor | None, feats: Sequence[Tensor], *, create_graph: bool = False, keep_graph: bool = True
) -> list[Tensor]:
    """dL/dF for each of ``feats``, in float32 at least; every parameter's ``.grad`` stays unchanged.

    Args:
        loss: scalar in the graph of ``feats``.
        feats: features F.
        create_graph: the gradients can be differentiated.
        keep_graph: the graph of ``loss`` can be used again.

    Returns:
        One gradient per tensor of ``feats``, of the same shape.

    Raises:
        ValueError: when the loss has no graph (`NoGraphError`), or was not computed from ``feats``.

    Examples:
        >>> feat = torch.ones(2, 2, requires_grad=True)
        >>> feature_gradients((feat**2).sum(), [feat])[0].tolist()
        [[2.0, 2.0], [2.0, 2.0]]
    """
    if loss is None or not loss.requires_grad:
        raise NoGraphError("the loss has no graph: run the network with gradients enabled on its input features")
    if not all(feat.requires_grad for feat in feats):
        raise ValueError("the features have no graph: run the network with gradients enabled on its input features")
    with without_autocast(loss.device):
        gradients = torch.autograd.grad(
            loss, list(feats), retain_graph=keep_graph or create_graph, create_graph=create_graph, allow_unused=True
        )
    if any(gradient is None for gradient in gradients):
        raise ValueError(
            "the loss was not computed from these features: give the tensor that the rest of the network used, in its "
            "own layout, not a copy reshaped after it; or give the gradients"
        )
    return [at_least_float32(gradient) for gradient in gradients]
