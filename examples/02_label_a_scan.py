"""Label one LiDAR scan with a trained network: file in, a class per point out.

    python examples/02_label_a_scan.py MODEL.safetensors SCAN.bin

Without arguments it uses a scan of the synthetic world and an untrained network, to show the calls.
"""

import sys
import tempfile
from pathlib import Path

import torch

import topokd
from topokd.data import voxelize
from topokd.evaluation import predict
from topokd.models import build_model, save_checkpoint
from topokd.params import Synthetic
from topokd.synthetic import SyntheticLidar

if len(sys.argv) == 3:
    from topokd.datasets.semantickitti.files import read_points
    from topokd.data import Scan

    model = topokd.load(sys.argv[1])
else:
    folder = Path(tempfile.mkdtemp())
    save_checkpoint(folder / "model.safetensors", build_model("ptv3-tiny", num_classes=19))
    model = topokd.load(folder / "model.safetensors")
    world = Synthetic(azimuths=128, train_sequences=(0,), val_sequences=(), scans_per_sequence=1)
    scan = SyntheticLidar(folder / "scans", "train", world)[0]
