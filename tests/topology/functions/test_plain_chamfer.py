"""The plain Chamfer distance against its definition, point by point, with its gradient."""

from __future__ import annotations

import pytest
import torch

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


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_value_and_gradient_are_those_of_the_definition(seed: int, diagonal: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = diagram(3 + seed, generator)
    b = diagram(9 - seed, generator).requires_grad_(True)
    value, expected = chamfer_distance(a, b, diagonal=diagonal), by_definition(a, b, diagonal)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, b), torch.autograd.grad(expected, b))
