from pathlib import Path

import pytest

from topokd._numba import drop_stale_caches


@pytest.fixture
def kernels(tmp_path: Path) -> tuple[Path, Path]:
    """A source and the cache that was compiled from it."""
    cache = tmp_path / "__pycache__" / "sweep.pairs-1.py311.nbi"
    cache.parent.mkdir()
    (tmp_path / "sweep.py").write_text("one")
    drop_stale_caches(tmp_path)
    cache.write_text("compiled")
    return tmp_path, cache


def test_unchanged_sources_keep_their_caches(kernels: tuple[Path, Path]) -> None:
    folder, cache = kernels
    drop_stale_caches(folder)
    assert cache.exists()


def test_a_changed_source_drops_all_caches_of_its_folder(kernels: tuple[Path, Path]) -> None:
    folder, cache = kernels
    (folder / "sweep.py").write_text("two")
    drop_stale_caches(folder)
    assert not cache.exists()


def test_a_new_source_drops_the_caches(kernels: tuple[Path, Path]) -> None:
    folder, cache = kernels
    (folder / "callee.py").write_text("new")
    drop_stale_caches(folder)
    assert not cache.exists()


def test_a_source_outside_the_pattern_keeps_the_caches(tmp_path: Path) -> None:
    cache = tmp_path / "__pycache__" / "voxel_kernels.sort.nbi"
    cache.parent.mkdir()
    (tmp_path / "voxel_kernels.py").write_text("one")
    drop_stale_caches(tmp_path, "voxel_kernels.py")
    cache.write_text("compiled")
    (tmp_path / "scan.py").write_text("other")
    drop_stale_caches(tmp_path, "voxel_kernels.py")
    assert cache.exists()
