"""Distil between two point networks with points in the last axis, here PointNets: (b, 3, n) in, (b, c, n) out."""

import torch
from torch import nn

from topokd.distillation import DistillationObjective, TappedNetwork, freeze, run_teacher


class PointNet(nn.Module):
    """Shared layers over points, their maximum over the cloud joined to each point; logits (b, 2, n)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.local = nn.Sequential(nn.Conv1d(3, width, 1), nn.ReLU(), nn.Conv1d(width, width, 1), nn.ReLU())
        self.joined = nn.Sequential(nn.Conv1d(2 * width, width, 1), nn.ReLU())
        self.head = nn.Conv1d(width, 2, 1)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        local = self.local(points)
        whole = local.amax(dim=2, keepdim=True).expand_as(local)
        return self.head(self.joined(torch.cat([local, whole], dim=1)))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Two clouds of 80 points; class 1 is the inside of the unit ball."""
    points = torch.randn(2, 3, 80)
    return points, (points.norm(dim=1) < 1.5).long()


torch.manual_seed(0)
teacher = PointNet(48)
optimizer = torch.optim.Adam(teacher.parameters(), lr=1e-2)
for _ in range(60):
    points, label = batch()
    loss = nn.functional.cross_entropy(teacher(points), label)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# The ten lines. channels=1: three axes mean (b, c, n) here, not (b, n, c).
student, paths = PointNet(8), ["local", "joined"]
tapped, frozen = TappedNetwork(student, paths, channels=1), freeze(TappedNetwork(teacher, paths, channels=1))
topology = {"weight": 0.1, "stage": 1, "num_points": 32}
objective = DistillationObjective({"kd": {}, "topo": topology, "grad": {"stages": [0, 1]}, "cwd": {"stage": 0}})
optimizer = torch.optim.Adam([*student.parameters(), *objective.parameters()], lr=1e-2)
for _ in range(10):
    points, label = batch()
    losses = objective(tapped(points), label, run_teacher(frozen, points, gradients=objective.needs_teacher_gradients))
    optimizer.zero_grad()
    losses.total.backward()
    optimizer.step()

print("PointNet after 10 steps: " + "  ".join(f"{name} {value:.3f}" for name, value in losses.terms.items()))
