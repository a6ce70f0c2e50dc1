"""Persistence diagrams as a tool: find the loop in a noisy circle, then move the points until it is rounder."""

import torch

from topokd.topology import covering_radius, farthest_point_sampling, vietoris_rips

torch.manual_seed(0)
angle = 2 * torch.pi * torch.rand(400)
points = torch.stack([angle.cos(), 0.6 * angle.sin()], 1) + 0.05 * torch.randn(400, 2)

kept = farthest_point_sampling(points, 64)
print(f"64 of 400 points, all within {covering_radius(points, kept):.3f} of a kept one")

sample = points[kept].requires_grad_()
optimizer = torch.optim.SGD([sample], lr=0.05)
for step in range(10):
    loops = vietoris_rips(sample).diagrams[1]  # (k, 2): length at which each loop appears and is filled
    persistence = (loops[:, 1] - loops[:, 0]).max()
    if step % 3 == 0:
        print(f"step {step}: {len(loops)} loops, the longest-lived persists for {persistence:.3f}")
    optimizer.zero_grad()
    (-persistence).backward()  # reaches the points through the edges that create and fill the loop
    optimizer.step()
