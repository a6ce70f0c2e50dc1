"""Persistence images: a diagram as a picture."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from topokd.checks import require_memory
from topokd.errors import ParameterError
from topokd.options import number, whole
from topokd.precision import product
from topokd.topology.functions.closed_form import in_the_graph
from topokd.topology.functions.inputs import Diagrams, Padded, array_of, float64_array, padded, raised
from topokd.topology.torch_compile import eagerly

Range = tuple[float, float]

MAX_COMPILED = 250_000  # pixels times points; matrix products of torch are faster from a million on


@eagerly
def persistence_image(
    diagram: Diagrams,
    *,
    resolution: tuple[int, int] = (20, 20),
    bandwidth: float = 1.0,
    birth_range: Range | None = None,
    persistence_range: Range | None = None,
    weight_power: float = 0.0,
) -> Float[Tensor, "*b r s"]:
    """Gaussians around the points (birth, persistence), sampled on a grid (Adams et al. 2017, conventions of GUDHI).

    ``I[y, x] = sum_i w_i exp(-((x - b_i)^2 + (y - (d_i - b_i))^2) / (2 h^2)) / (2 pi h^2)`` with bandwidth h and
    weights ``w_i = (d_i - b_i)^weight_power``, at r persistences y and s births x spread evenly over the ranges, ends
    included. Flattened it is what ``gudhi.representations.PersistenceImage`` gives for ``resolution=[s, r]`` and
    ``im_range=[*birth_range, *persistence_range]``. Gaussians are products, so the image is one product of an (r, k)
    and a (k, s) matrix: smooth in every point, without ties. A range taken from the diagrams is held fixed in the
    gradient.

    Args:
        diagram: (k, 2) finite pairs, or a list of b such diagrams.
        resolution: (r, s): rows, from the least persistence to the greatest, and columns, from the first birth to the
            last.
        bandwidth: h, in units of the filtration.
        birth_range: first and last birth of the columns; None: those of the diagrams given (of all of a list).
        persistence_range: least and greatest persistence of the rows; None: those of the diagrams given.
        weight_power: exponent of the weights; 0 weights all points equally (as in GUDHI), 1 is linear as in the paper.

    Returns:
        (r, s), or (b, r, s) for a list; in 1 / (filtration unit)^2. Zeros for an empty diagram.

    Raises:
        ValueError: a resolution below 1, a bandwidth that is not positive, a range that is not finite or ends before
            it starts, a negative weight_power, or a diagram that is not (k, 2), finite, with no death before its birth.

    Examples:
        >>> image = persistence_image(torch.tensor([[0.0, 1.0]]), resolution=(3, 2), bandwidth=0.5,
        ...                           birth_range=(0.0, 1.0), persistence_range=(0.0, 2.0))
        >>> image.shape, image.argmax().item()  # the brightest pixel: row 1 (persistence 1), column 0 (birth 0)
        (torch.Size([3, 2]), 2)
    """
    batch = padded(diagram)
    try:
        rows, columns = (whole(count, "resolution") for count in _two("resolution", resolution))
    except ParameterError:
        raise ParameterError(f"resolution is {resolution!r}: pass two whole numbers, 1 or more") from None
    bandwidth = number(bandwidth, "bandwidth", above=True, unit=" (units of the filtration)")
    smallest, largest = torch.finfo(batch.points.dtype).tiny, torch.finfo(batch.points.dtype).max
    if not smallest <= _power(bandwidth, 2) <= largest:
        raise ParameterError(
            f"bandwidth is {bandwidth:g}: its square is 0 or infinite in {str(batch.points.dtype)[6:]}; rescale the "
            "diagram"
        )
    pixels = max(rows, columns, 1) * max(batch.points.shape[1], rows, columns)
    require_memory(8 * len(batch.points) * pixels, f"an image of {rows:,} x {columns:,}", "lower its resolution")
    births, persistence = batch.births, batch.persistence
    x = _axis("birth_range", birth_range, columns, births, batch)
    y = _axis("persistence_range", persistence_range, rows, persistence, batch)
    exponent = number(weight_power, "weight_power")
    longest = float(persistence.detach().max()) if persistence.numel() else 0.0
    if not math.isfinite(_power(longest, exponent)):
        raise ParameterError(f"weight_power is {exponent:g}: the weights (death - birth)^{exponent:g} overflow")
    pairs = batch.points.squeeze(0)
    if batch.single and 0 < len(pairs) * rows * columns <= MAX_COMPILED and array_of(pairs) is not None:
        return _Image.apply(pairs, x, y, bandwidth, exponent)  # type: ignore[no-any-return]
    return batch.result(_image(batch.points, batch.real, x, y, bandwidth, exponent))


class _Image(torch.autograd.Function):
    """The image of one small diagram on the CPU, in one compiled loop each way."""

    @staticmethod
    def forward(ctx: Any, pairs: Tensor, x: Tensor, y: Tensor, bandwidth: float, power: float) -> Tensor:
        from topokd.topology.kernels import images

        arrays = [float64_array(t) for t in (pairs, x, y)]
        pixels, *parts = images.image(*arrays, bandwidth, power)
        ctx.given = *arrays, bandwidth, power, *parts
        ctx.save_for_backward(pairs, x, y)
        return torch.from_numpy(pixels).to(pairs.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        pairs, x, y = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: the gradient will be differentiated again
            real = torch.ones(1, len(pairs), dtype=torch.bool)
            again = _image(pairs[None], real, x, y, *ctx.given[3:5]).squeeze(0)
            return in_the_graph(again, pairs, gradient), None, None, None, None
        from topokd.topology.kernels import images

        pulled = images.image_gradient(*ctx.given, float64_array(gradient))
        return torch.from_numpy(pulled).to(pairs.dtype), None, None, None, None


def _image(
    points: Float[Tensor, "b k 2"],
    real: Bool[Tensor, "b k"],
    x: Float[Tensor, " s"],
    y: Float[Tensor, " r"],
    bandwidth: float,
    power: float,
) -> Float[Tensor, "b r s"]:
    """The same in torch: for lists, GPUs and large diagrams, and the twin of the compiled loops."""
    births, persistence = points[..., 0], points[..., 1] - points[..., 0]
    weight = raised(persistence, power) * real if power else real.to(births.dtype)
    horizontal = _gaussian(births[..., None] - x, bandwidth) * weight[..., None]  # (b, k, s)
    vertical = _gaussian(persistence[..., None] - y, bandwidth)  # (b, k, r)
    return product(vertical.mT, horizontal)


def _two(name: str, given: Any) -> tuple[Any, Any]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ParameterError(f"{name} is {given!r}: pass two numbers")
    return given[0], given[1]


def _power(base: float, exponent: float) -> float:
    try:
        return base**exponent
    except OverflowError:
        return math.inf


def _gaussian(offset: Float[Tensor, "b k g"], bandwidth: float) -> Float[Tensor, "b k g"]:
    return torch.exp(-(offset / bandwidth).square() / 2) / (bandwidth * math.sqrt(2 * math.pi))


def _axis(
    name: str, given: Range | None, count: int, values: Float[Tensor, "b k"], batch: Padded
) -> Float[Tensor, " g"]:
    if given is None:
        real = values.detach()[batch.real]
        low, high = (float(end) for end in real.aminmax()) if len(real) else (0.0, 1.0)
    else:
        low, high = (number(end, name, least=-math.inf) for end in _two(name, given))
        if not -math.inf < low <= high < math.inf:
            raise ParameterError(f"{name} is {tuple(given)}: pass two finite numbers, the smaller one first")
    return torch.linspace(low, high, count, dtype=values.dtype, device=values.device)
