"""The plain Chamfer distance against its definition, point by point, with its gradient."""

from __future__ import annotations

import pytest
import torch

from topokd.errors import DataError
from topokd.topology import chamfer_distance

pytestmark = pytest.mark.unit


def diagram(count: int, generator: torch.Generator) -> torch.Tensor:
    birth = torch.rand(count, generator=generator, dtype=torch.float64)
    return torch.stack([birth, birth + torch.rand(count, generator=generator, dtype=torch.float64)], 1)


def by_definition(a: torch.Tensor, b: torch.Tensor, diagonal: bool) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for own, other in ((a, b), (b, a)):
        for birth, death in own:
            costs = [(birth - x) ** 2 + (death - y) ** 2 for x, y in other]
            costs += [(death - birth) ** 2 / 2] if diagonal else []
            total = total + torch.stack(costs).min() / len(own)
    return total


@pytest.mark.parametrize(("dtype", "unit"), [(torch.float32, 1e19), (torch.float16, 300.0)])
def test_squares_beyond_the_type_are_rejected_and_a_mean_within_it_is_found(dtype: torch.dtype, unit: float) -> None:
    near, far = torch.tensor([[0.0, unit]]), torch.tensor([[0.0, 1e-3 * unit], [0.0, 3.0 * unit]])
    with pytest.raises(DataError, match=rf"more than {str(dtype)[6:]} holds: divide both by a constant"):
        chamfer_distance(near.to(dtype), far.to(dtype))
    others = torch.tensor([[0.0, unit]] * 7 + [[0.0, 1.9 * unit]]).to(dtype)
    value = chamfer_distance(near.to(dtype), others)
    torch.testing.assert_close(value.double(), chamfer_distance(near.double(), others.double()), rtol=1e-3, atol=0)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_value_and_gradient_are_those_of_the_definition(seed: int, diagonal: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = diagram(3 + seed, generator)
    b = diagram(9 - seed, generator).requires_grad_(True)
    value, expected = chamfer_distance(a, b, diagonal=diagonal), by_definition(a, b, diagonal)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, b), torch.autograd.grad(expected, b))
