"""Label a LiDAR scan with a trained network: points in, a class per point out.

With a checkpoint of your own, replace the first part by `model = topokd.load("model.safetensors")`. To label files
without writing code use `topokd predict MODEL SCANS`.
"""

import tempfile
from pathlib import Path

import numpy as np

import topokd
from topokd.data import Scan
from topokd.evaluation import predict
from topokd.models import build_model, save_checkpoint

# An untrained network instead of a checkpoint, to show the calls.
checkpoint = Path(tempfile.mkdtemp(), "model.safetensors")
save_checkpoint(checkpoint, build_model("ptv3-tiny", num_classes=19))
model = topokd.load(checkpoint)

# A scan is coordinates (n, 3) in metres in the sensor's frame and intensities (n,) from 0 to 1.
rng = np.random.default_rng(0)
xyz = rng.uniform((-20, -20, -2), (20, 20, 1), size=(5000, 3)).astype(np.float32)
scan = Scan(xyz=xyz, intensity=rng.random(5000, dtype=np.float32))

label = predict(model, scan, voxel_size=0.2)
print(f"{len(label)} points, classes {sorted(set(label.tolist()))}")
