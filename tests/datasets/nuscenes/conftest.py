"""The synthetic world in the layout of nuScenes, and a copy of it to damage."""

import json
import shutil
from pathlib import Path

import pytest

from topokd import params
from topokd.synthetic import write_nuscenes

SMALL = params.Synthetic(
    azimuths=48, train_sequences=(0, 3), val_sequences=(8,), scans_per_sequence=2, val_scans_per_sequence=1
)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("nuscenes")
    write_nuscenes(root, SMALL, sweeps_between=1)
    return root


@pytest.fixture
def copy(world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world, tmp_path / "nuscenes"))


def edit(root: Path, table: str, change) -> None:
    file = root / "v1.0-trainval" / f"{table}.json"
    records = json.loads(file.read_text())
    file.write_text(json.dumps(change(records) or records))
