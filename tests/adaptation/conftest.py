"""The synthetic street seen by a user's own sensor, in their layout and ids, and a teacher of the default sensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from topokd import params as P
from topokd.data import training_batch
from topokd.datasets.semantickitti.classes import SEMANTICKITTI
from topokd.distillation import DistillationObjective
from topokd.io import write_text
from topokd.models import save_checkpoint
from topokd.synthetic.scanner import scan_sequence_frame
from topokd.training import Fit
from topokd.training.determinism import deterministic, seeded_model

VOXEL, CROP = 0.8, 300
WORLD = P.Synthetic(azimuths=150)
IDS = {40: 11, 44: 11, 48: 12, 49: 12, 72: 12, 50: 20, 51: 20, 52: 20, 80: 20, 81: 20, 70: 30, 71: 30, 10: 5}
YARD = {
    "name": "Yard",
    "scans": "drives/{sequence}/{scan}.npy",
    "labels": "truth/{sequence}/{scan}.label",
    "columns": ["x", "y", "z", "intensity"],
    "intensity_scale": 100,
    "scale": 0.01,  # centimetres
    "label_dtype": "uint16",
    "splits": {"train": ["mon", "tue", "wed"], "val": ["thu"]},
    "ignored": [0],
    "classes": [
        {"name": "road", "ids": [11], "color": [128, 64, 128]},
        {"name": "verge", "ids": [12], "color": [150, 240, 80]},
        {"name": "structure", "ids": [20], "color": [200, 200, 0]},
        {"name": "plants", "ids": [30], "color": [0, 175, 0]},
        {"name": "car", "ids": [5], "color": [100, 150, 245]},
    ],
}


def write_yard(root: Path, drives: dict[str, tuple[int, list[bool]]]) -> Path:
    """Write drives, name to street and whether each of its scans is labelled; returns the label map."""
    world = WORLD.replace(sensor="hdl32")
    for drive, (street, labelled) in drives.items():
        for frame, has_labels in enumerate(labelled):
            scan, raw = scan_sequence_frame(world, street, frame, len(labelled))
            rows = np.column_stack([100 * scan.xyz, 100 * scan.intensity]).astype(np.float32)
            for folder in ("drives", "truth"):
                (root / folder / drive).mkdir(parents=True, exist_ok=True)
            np.save(root / "drives" / drive / f"{frame:03d}.npy", rows)
            if has_labels:
                own = np.array([IDS.get(int(number), 0) for number in raw & 0xFFFF], "<u2")
                own.tofile(root / "truth" / drive / f"{frame:03d}.label")
    write_text(root / "yard.yaml", yaml.safe_dump(YARD))
    return root / "yard.yaml"


@pytest.fixture(scope="session")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two labelled scans, four unlabelled ones and two to be scored on."""
    root = tmp_path_factory.mktemp("yard")
    write_yard(
        root,
        {
            "mon": (100, [True, False]),
            "tue": (101, [False, True]),
            "wed": (102, [False, False]),
            "thu": (103, [True, True]),
        },
    )
    return root


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network after some steps on the 64 beams of the default world, with SemanticKITTI's classes."""
    scans = [scan_sequence_frame(WORLD, street, 0, 1)[0] for street in (0, 1, 2)]
    data = P.Data(voxel_size=VOXEL, crop_voxels=CROP)
    with deterministic(1):
        model = seeded_model("ptv3-tiny", SEMANTICKITTI.num_classes, 0, "teacher")
        train = P.Train(gradients_every=0, optimizer=P.Optimizer(lr=0.01, lr_attention=0.01))
        Fit(model, DistillationObjective({}), lambda step: training_batch(scans, data, 0, step, 2), 25, train, 0).run()
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    names = ",".join(SEMANTICKITTI.class_names)
    save_checkpoint(path, model, {"class_names": names, "voxel_size": str(VOXEL)})
    return path
