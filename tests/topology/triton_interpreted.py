"""Compares the Triton kernels with their torch twin; test_triton_sampling.py runs it with TRITON_INTERPRET=1."""

from __future__ import annotations

import torch

from topokd.topology import triton_sampling
from topokd.topology.sampling import sample_together


def check_that_clouds_of_different_sizes_are_sampled_as_by_the_twin() -> None:
    generator = torch.Generator().manual_seed(0)
    clouds = [torch.randn(n, 24, generator=generator) for n in (300, 40, 120)]
    clouds.append(clouds[0][:30].repeat(3, 1))  # duplicates
    expected = sample_together(clouds, 60, 7)
    indices = triton_sampling.sample_in_one_kernel(clouds, 60, 7)
    assert [len(kept) for kept in indices] == [60, 40, 60, 60]
    assert all(torch.equal(a, b) for a, b in zip(indices, expected, strict=True))
    assert triton_sampling.sample_in_one_kernel([], 60, 7) == []


def check_that_ties_go_to_the_lowest_index() -> None:
    """Whole coordinates: distances are exact, and often tie. Sizes of 1 are constants for Triton."""
    for n, channels, m, start in ((1, 1, 3, 0), (2, 1, 2, 1), (33, 1, 33, 1), (64, 2, 50, 5)):
        points = torch.randint(4, (n, channels), generator=torch.Generator().manual_seed(n)).double()
        (expected,) = sample_together([points], m, start)
        (indices,) = triton_sampling.sample_in_one_kernel([points], m, start)
        assert indices.tolist() == expected.tolist(), (n, channels, m, start)


def check_that_the_matrix_is_that_of_differences() -> None:
    points = torch.randint(-9, 9, (2, 70, 5), generator=torch.Generator().manual_seed(0)).double()
    expected = (points[:, :, None] - points[:, None]).square().sum(dim=3)
    assert torch.equal(triton_sampling.squared_distances(points), expected)


if __name__ == "__main__":
    for name, check in list(globals().items()):
        if name.startswith("check_"):
            check()
            print(name)
