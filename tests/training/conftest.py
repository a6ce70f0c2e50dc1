"""A profile so small that a run takes seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import PROJECT
from topokd import params as P
from topokd.data import Scan
from topokd.datasets.semantickitti.files import write_scan

GROUND, BUILDING, CAR, VEGETATION = 8, 12, 0, 14


def street(rng: np.random.Generator) -> Scan:
    """Ground, a wall, a box and a bush: 1,200 points."""
    n = 300
    ground = np.stack([rng.uniform(-8, 8, n), rng.uniform(-8, 8, n), rng.normal(0, 0.03, n)], 1)
    wall = np.stack([rng.uniform(-8, 8, n), np.full(n, 6.0), rng.uniform(0, 4, n)], 1)
    car = rng.uniform([-2, -1, 0.2], [2, 1, 1.5], (n, 3)) + rng.uniform([-4, -4, 0], [4, 2, 0])
    bush = rng.normal([4, -4, 1], 0.8, (n, 3))
    label = np.repeat([GROUND, BUILDING, CAR, VEGETATION], n)
    return Scan(np.concatenate([ground, wall, car, bush]).astype(np.float32), rng.random(4 * n, np.float32), label)


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four training scans and two for validation, on disk."""
    root, rng = tmp_path_factory.mktemp("scans"), np.random.default_rng(0)
    for sequence, count in ((0, 4), (8, 2)):
        for frame in range(count):
            write_scan(root, sequence, frame, street(rng))
    return root


@pytest.fixture
def params(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> P.Params:
    """Six steps of the tiny network; everything is written into the test's own folder."""
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    return tiny_params(scans)


def tiny_params(scans: Path) -> P.Params:
    """The default profile with its rows and terms, on a few scans with tiny networks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOPOKD_ROOT", str(PROJECT))
        params = P.load_profile("default")
    params = params.replace(
        data=P.Data(dataset="semantickitti", root=str(scans), voxel_size=0.4, crop_voxels=300),
        model=P.Model(teacher="ptv3-tiny", student="ptv3-tiny"),
        train=P.Train(teacher_steps=6, student_steps=6, validate_every=3, validate_scans=1, checkpoint_every=2),
    )
    return params.with_term("topo", num_points=12)
