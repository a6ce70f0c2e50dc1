"""Every reader passes the same checks: those of all benchmarks, and that of the synthetic world."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.datasets.reader_tester import ReaderTester, damages
from topokd import params
from topokd.datasets import BENCHMARKS
from topokd.errors import DataError
from topokd.synthetic import LAYOUTS, SyntheticLidar

SMALL = params.Synthetic(
    azimuths=32, train_sequences=(0, 3), val_sequences=(8,), scans_per_sequence=2, val_scans_per_sequence=1
)
READERS = [*LAYOUTS, "synthetic"]


@pytest.fixture(scope="module", params=READERS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    root = tmp_path_factory.mktemp(request.param)
    layout = "semantickitti" if request.param == "synthetic" else request.param
    LAYOUTS[layout].write(root, SMALL)
    return request.param, root


def reader_of(name: str, root: Path) -> ReaderTester:
    if name == "synthetic":
        return ReaderTester(lambda split, **options: SyntheticLidar(root, split, SMALL, **options), 19)
    return ReaderTester(partial(BENCHMARKS[name].open, root), BENCHMARKS[name].classes.num_classes)


def test_every_benchmark_can_be_written_by_the_synthetic_world() -> None:
    assert set(LAYOUTS) <= set(BENCHMARKS)


def test_scans_have_names_shapes_and_ranges(world: tuple[str, Path]) -> None:
    reader_of(*world).check_scans()


def test_an_unknown_split_names_the_known_ones(world: tuple[str, Path]) -> None:
    reader_of(*world).check_unknown_split()


def test_the_last_scans_stay_in_memory(world: tuple[str, Path]) -> None:
    reader_of(*world).check_memory_cache()


def test_a_cache_on_disk_changes_no_bit(world: tuple[str, Path], tmp_path: Path) -> None:
    reader_of(*world).check_disk_cache(tmp_path)


def test_worker_processes_read_the_same_scans(world: tuple[str, Path]) -> None:
    reader_of(*world).check_worker_processes()


@pytest.mark.parametrize("damage", damages(), ids=lambda damage: damage.__name__)
def test_a_bad_file_is_named_and_skipped_on_request(
    world: tuple[str, Path], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    name, root = world
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    if name == "synthetic":  # damaged scans are written again
        first = Path(SyntheticLidar(copy, "train", SMALL).files("00/000000")[0])
        intact = first.read_bytes()
        damage(first)
        SyntheticLidar(copy, "train", SMALL)
        assert first.read_bytes() == intact
    else:
        index = -1 if damage.__name__ == "missing" else 0  # without its points a scan may simply be in no split
        reader_of(name, copy).check_bad_file(damage, index)


def test_a_folder_in_another_layout_is_named_as_the_command_line_names_it(tmp_path: Path) -> None:
    for name in BENCHMARKS:
        with pytest.raises(DataError, match=r"ROOT \(data.root of a profile\) is the folder +above"):
            BENCHMARKS[name].open(tmp_path, "val")
