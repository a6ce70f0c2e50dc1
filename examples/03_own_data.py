"""Train PTv3 on your own scans: anything with a length, whose items are `Scan` objects, is a dataset."""

import numpy as np
import torch

from topokd.data import Scan, collate, voxelize
from topokd.distillation import SegmentationLoss
from topokd.evaluation import evaluate
from topokd.models import build_model


class Boxes:
    """A floor (class 0) with boxes on it (class 1)."""

    class_names = ("floor", "box")
    num_classes = 2

    def __init__(self, scans: int) -> None:
        self.scans = scans

    def __len__(self) -> int:
        return self.scans

    def __getitem__(self, index: int) -> Scan:
        if not 0 <= index < self.scans:
            raise IndexError(index)
        rng = np.random.default_rng(index)
        floor = np.column_stack([rng.uniform(-5, 5, (600, 2)), np.zeros(600)])
        box = rng.uniform(-1, 1, (400, 3)) + np.append(rng.uniform(-3, 3, 2), 1.2)
        label = np.repeat([0, 1], [600, 400])
        points = np.concatenate([floor, box]).astype(np.float32)
        return Scan(xyz=points, intensity=np.zeros(1000, np.float32), label=label, name=f"boxes {index}")


torch.manual_seed(0)
train, validation = Boxes(16), Boxes(2)
model, loss_of = build_model("ptv3-tiny", num_classes=2), SegmentationLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
for step in range(20):
    batch = collate([voxelize(train[(2 * step + k) % len(train)], 0.2) for k in range(2)])
    loss = loss_of(model(batch), batch.label)  # batch.label: the class of each voxel, -1 if it has none
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

confusion = evaluate(model, validation, voxel_size=0.2)  # per original point, one scan at a time
print("IoU:", dict(zip(validation.class_names, confusion.iou().round(3).tolist(), strict=True)))
