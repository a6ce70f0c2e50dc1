"""A checkpoint of the tiny network, and scans to label."""

import numpy as np
import pytest
import torch

from topokd.datasets.semantickitti.classes import SEMANTICKITTI
from topokd.labelling import Labeller
from topokd.models import build_model, save_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    names = ",".join(SEMANTICKITTI.class_names)
    save_checkpoint(path, build_model("ptv3-tiny", num_classes=19), {"class_names": names, "voxel_size": "0.5"})
    return path


class Recorder(Labeller):
    """A labeller that records the names of the scans that it labels, and their intensity scales."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.names, self.scales = [], {}

    def __call__(self, cloud):
        self.names.append(cloud.scan.name)
        self.scales[cloud.scan.name] = cloud.scale
        return super().__call__(cloud)


@pytest.fixture
def scans(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "scans" / "sub"
    folder.mkdir(parents=True)
    for k in range(2):
        rows = np.column_stack([rng.uniform(-5, 5, (50, 3)), rng.random(50)]).astype("<f4")
        rows[0, 0] = np.nan
        rows.tofile(folder / f"{k:06d}.bin")
    return tmp_path / "scans"
