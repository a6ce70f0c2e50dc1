"""Small random clouds for the tests of the networks."""

import torch


def random_cloud(n: int, seed: int, extent: tuple[int, int, int] = (24, 20, 8)) -> tuple[torch.Tensor, torch.Tensor]:
    """n distinct voxels in random order, about a bumpy ground, and four features each."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.cartesian_prod(*[torch.arange(e) for e in extent])
    height = 2 + torch.sin(cells[:, 0] / 4) * 1.5
    weight = torch.exp(-((cells[:, 2] - height) ** 2)) + 0.01
    grid = cells[torch.multinomial(weight, n, generator=generator)]
    return grid, torch.randn(n, 4, generator=generator)


def random_batch(*sizes: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Clouds of these sizes as one network input; the second is stretched, so that depths differ."""
    clouds = [random_cloud(n, seed + i) for i, n in enumerate(sizes)]
    return {
        "grid_coord": torch.cat([grid * (1 + 2 * (i == 1)) for i, (grid, _) in enumerate(clouds)]),
        "feat": torch.cat([feat for _, feat in clouds]),
        "offset": torch.tensor(sizes).cumsum(0),
    }
