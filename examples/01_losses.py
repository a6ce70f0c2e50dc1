"""The three distillation losses in a training loop that has nothing to do with point clouds or PTv3.

A wide network teaches a narrow one. Every loss takes plain tensors: rows of features (n, channels) of two networks on
the same n inputs, and `offsets`, where each group of rows ends.
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from topokd.distillation import LogitLoss, SaliencyLoss
from topokd.topology import TopologicalLoss

torch.manual_seed(0)


def network(width: int) -> tuple[nn.Module, nn.Module]:
    """A body that makes features and a head that classifies them."""
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()), nn.Linear(width, 4)


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two clouds of 60 points; a point's class is its quadrant."""
    points = torch.randn(120, 3)
    label = (points[:, 0] > 0).long() + 2 * (points[:, 1] > 0).long()
    return points, label, torch.tensor([60, 120])


teacher_body, teacher_head = network(64)
optimizer = torch.optim.Adam([*teacher_body.parameters(), *teacher_head.parameters()], lr=1e-2)
for _ in range(100):
    points, label, _ = batch()
    loss = cross_entropy(teacher_head(teacher_body(points)), label)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

logit, topological, saliency = LogitLoss(temperature=2.0), TopologicalLoss(num_points=32), SaliencyLoss()
student_body, student_head = network(8)
optimizer = torch.optim.Adam([*student_body.parameters(), *student_head.parameters()], lr=1e-2)
for step in range(30):
    points, label, offsets = batch()

    teacher_features = teacher_body(points)
    teacher_logits = teacher_head(teacher_features)
    features = student_body(points)
    logits = student_head(features)
    segmentation = cross_entropy(logits, label)

    kd = logit(logits, teacher_logits.detach())
    topo = topological(features, teacher_features.detach(), offsets)
    grad = (
        saliency(  # compares where each network's loss is sensitive, so it needs both losses, as sums over the points
            features,
            teacher_features,
            offsets,
            student_loss=len(label) * segmentation,
            teacher_loss=cross_entropy(teacher_logits, label, reduction="sum"),
        )
    )
    total = segmentation + 0.3 * kd + 0.3 * topo + grad
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    if step % 10 == 9:
        print(
            f"step {step + 1}: segmentation {segmentation:.3f}  kd {kd:.3f}  topology {topo:.3f}  saliency {grad:.3f}"
        )
