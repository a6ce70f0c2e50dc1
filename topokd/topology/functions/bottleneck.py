"""Exact bottleneck distance of two diagrams: the distance that Proposition 1 and Figure 8 are stated in."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from topokd.topology.functions.closed_form import distance_of_pairs
from topokd.topology.functions.inputs import Diagrams
from topokd.topology.torch_compile import eagerly


@eagerly
def bottleneck_distance(a: Diagrams, b: Diagrams) -> Float[Tensor, "*b"]:
    """The bottleneck distance: ``min over matchings of max ||x - y||_inf``; a point may also go to the diagonal.

    The diagonal is at ``(d - b) / 2``. Exact, as ``gudhi.bottleneck_distance(a, b)``: the answer is one of finitely
    many costs, found by bisection with bipartite matchings. The gradient reaches the pair (or the point and the
    diagonal) of a best matching whose cost is the distance.

    At ties: the pairs of one best matching that all cost the distance share the gradient equally, and of a pair whose
    two coordinates are equally far each coordinate gets half. At distance 0 it is 0. Differentiable once.

    Args:
        a: (k, 2) finite pairs, or a list of them.
        b: (m, 2) finite pairs, or a list as long as a.

    Returns:
        A scalar, or (b,) for lists; in the filtration's unit. Two empty diagrams are at distance 0.

    Raises:
        ValueError: lists of different lengths, or a diagram is not (k, 2), finite, with no death before its birth.

    Examples:
        >>> import torch
        >>> bottleneck_distance(torch.tensor([[0.0, 1.0], [0.3, 0.4]]), torch.tensor([[0.0, 1.25]]))
        tensor(0.2500)
    """
    from topokd.topology.kernels import bottleneck

    return distance_of_pairs(lambda x, y, _: bottleneck.distance(x, y), a, b)
