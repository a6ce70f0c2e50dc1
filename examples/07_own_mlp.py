"""Distil between two MLPs by module path: rows of several groups, and `offsets` that say where each group ends."""

import torch
from torch import nn

from topokd.distillation import DistillationObjective, TappedNetwork, freeze, run_teacher


def classifier(width: int) -> nn.Sequential:
    """Rows (n, 3) to logits (n, 4)."""
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 4))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Two groups of 60 points; a point's class is its quadrant."""
    points = torch.randn(120, 3)
    return points, (points[:, 0] > 0).long() + 2 * (points[:, 1] > 0).long()


torch.manual_seed(0)
teacher = classifier(64)
optimizer = torch.optim.Adam(teacher.parameters(), lr=1e-2)
for _ in range(100):
    points, label = batch()
    loss = nn.functional.cross_entropy(teacher(points), label)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# The ten lines.
student = classifier(8)
tapped, frozen = TappedNetwork(student, ["1", "3"]), freeze(TappedNetwork(teacher, ["1", "3"]))
topology = {"weight": 0.1, "stage": 1, "num_points": 32}
objective = DistillationObjective({"kd": {}, "topo": topology, "grad": {"stages": [0, 1]}, "rkd": {"stage": 1}})
optimizer = torch.optim.Adam([*student.parameters(), *objective.parameters()], lr=1e-2)
for _ in range(10):
    points, label = batch()
    output = run_teacher(frozen, points, offsets=[60, 120], gradients=objective.needs_teacher_gradients)
    losses = objective(tapped(points, offsets=[60, 120]), label, output)
    optimizer.zero_grad()
    losses.total.backward()
    optimizer.step()

print("MLP after 10 steps: " + "  ".join(f"{name} {value:.3f}" for name, value in losses.terms.items()))
