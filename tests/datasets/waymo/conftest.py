"""The synthetic world in the layout of Waymo Open, and a copy of it to damage."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from topokd import params
from topokd.datasets import WaymoSegmentation
from topokd.synthetic import write_waymo

SMALL = params.Synthetic(
    azimuths=48, train_sequences=(0, 3), val_sequences=(8,), scans_per_sequence=2, val_scans_per_sequence=1
)
LIDAR = "[LiDARComponent].range_image_return1"


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("waymo")
    write_waymo(root, SMALL)
    return root


@pytest.fixture
def copy(world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world, tmp_path / "waymo"))


def change(root: Path, component: str, column: str, new) -> Path:
    """Replace the values of a column in a component of the first training segment."""
    file = sorted((root / "training" / component).glob("*.parquet"))[0]
    table = pq.read_table(file)
    index = table.schema.names.index(column)
    values = [new(value) for value in table[column].to_pylist()]
    table = table.set_column(index, table.schema.field(column), pa.array(values, table.schema.field(column).type))
    pq.write_table(table, file, row_group_size=1)
    return file


def first_of(root: Path) -> WaymoSegmentation:
    """The dataset of the segment that ``change`` changes."""
    segment = sorted((root / "training" / "lidar").glob("*.parquet"))[0].stem
    return WaymoSegmentation(root, (segment,))
