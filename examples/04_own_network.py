"""Distil between your own networks: any two that return features for the same voxels, here small MLPs.

The rows of both networks must be the same voxels in the same order; their widths may differ.
"""

import copy

import numpy as np
import torch
from torch import nn

from topokd.data import Batch, Scan, collate, voxelize
from topokd.distillation import LogitLoss, SegmentationLoss
from topokd.topology import TopologicalLoss


class PointMLP(nn.Module):
    """Classify each voxel by itself; returns logits and the features before the last layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.head = nn.Linear(width, 2)

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        feat = self.body(batch.feat)  # (n, width)
        return self.head(feat), feat


def step_batch(step: int) -> Batch:
    """Two clouds: points inside the unit ball are class 1."""
    rng = np.random.default_rng(step)
    clouds = [rng.normal(size=(300, 3)).astype(np.float32) for _ in range(2)]
    labels = [(np.linalg.norm(xyz, axis=1) < 1).astype(np.int64) for xyz in clouds]
    scans = [Scan(xyz=xyz, intensity=np.zeros(300, np.float32), label=y) for xyz, y in zip(clouds, labels, strict=True)]
    return collate([voxelize(scan, 0.05) for scan in scans])


torch.manual_seed(0)
segmentation, logit, topology = SegmentationLoss(), LogitLoss(temperature=2.0), TopologicalLoss(num_points=64)


def train(network: PointMLP, teacher: PointMLP | None, steps: int) -> float:
    """Adam on the segmentation loss, plus the distillation terms if there is a teacher; returns the last loss."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for step in range(steps):
        batch = step_batch(step)
        logits, feat = network(batch)
        total = loss = segmentation(logits, batch.label)
        if teacher is not None:
            with torch.no_grad():
                logits_t, feat_t = teacher(batch)
            total = loss + 0.3 * logit(logits, logits_t) + 0.3 * topology(feat, feat_t, batch.offsets)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    return loss.item()


teacher = PointMLP(64)
print(f"teacher {train(teacher, None, 60):.3f}")
student = PointMLP(4)
twin = copy.deepcopy(student)
print(f"student alone {train(twin, None, 30):.3f}, distilled {train(student, teacher, 30):.3f}")
