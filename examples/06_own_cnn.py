"""Distil between your own convolutional networks, without changing them: features are named by module path.

`TappedNetwork` hooks the named modules; a term's `stage` is the index of the path. Losses that subtract features learn
a linear projector if widths differ, so pass `objective.parameters()` to the optimizer as well.
"""

import torch
from torch import nn

from topokd.distillation import DistillationObjective, TappedNetwork, freeze, run_teacher


def segmenter(width: int) -> nn.Sequential:
    """A small torchvision-style CNN: images (b, 3, h, w) to logits (b, 2, h, w)."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
        nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)),
        nn.Conv2d(width, 2, 1),
    )


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Four images of noise; a pixel's class says whether its neighbourhood is bright."""
    images = torch.randn(4, 3, 12, 12)
    return images, (nn.functional.avg_pool2d(images.mean(1), 3, 1, 1) > 0).long()


torch.manual_seed(0)
teacher = segmenter(32)
optimizer = torch.optim.Adam(teacher.parameters(), lr=1e-2)
for _ in range(60):
    images, label = batch()
    loss = nn.functional.cross_entropy(teacher(images), label)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# The ten lines.
student = segmenter(6)
tapped, frozen = TappedNetwork(student, ["0", "1"]), freeze(TappedNetwork(teacher, ["0", "1"]))
topology = {"weight": 0.1, "stage": 1, "num_points": 32}
objective = DistillationObjective({"kd": {}, "topo": topology, "grad": {"stages": [0, 1]}, "fitnet": {"stage": 1}})
optimizer = torch.optim.Adam([*student.parameters(), *objective.parameters()], lr=1e-2)
for _ in range(10):
    images, label = batch()
    losses = objective(tapped(images), label, run_teacher(frozen, images, gradients=objective.needs_teacher_gradients))
    optimizer.zero_grad()
    losses.total.backward()
    optimizer.step()

print("CNN after 10 steps: " + "  ".join(f"{name} {value:.3f}" for name, value in losses.terms.items()))
