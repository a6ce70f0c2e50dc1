"""Links to the sequences of a fold: made by several workers at a time, and renewed with the data root."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from topokd.experiments.study.folds import link_fold


def folder_of(root: Path, *numbers: int) -> Path:
    for number in numbers:
        (root / "sequences" / f"{number:02d}").mkdir(parents=True)
    return root


def links(target: Path) -> dict[str, str]:
    return {link.name: os.readlink(link) for link in sorted((target / "sequences").iterdir())}


def test_links_follow_the_data_root(tmp_path: Path) -> None:
    target = tmp_path / "target"
    link_fold(folder_of(tmp_path / "old", 0, 3, 5, 8), target, 3)
    new = folder_of(tmp_path / "new", 0, 3, 8)
    link_fold(new, target, 3)
    assert links(target) == {"00": f"{new}/sequences/00", "03": f"{new}/sequences/08", "08": f"{new}/sequences/03"}
    assert [path.name for path in target.iterdir()] == ["sequences"]


def test_workers_may_link_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = folder_of(tmp_path / "source", 0, 3, 8), tmp_path / "target"
    both, is_symlink = Barrier(2, timeout=10), Path.is_symlink

    def together(path: Path) -> bool:  # both workers see that there is no link before either makes one
        found = is_symlink(path)
        both.wait()
        return found

    monkeypatch.setattr(Path, "is_symlink", together)
    link: Callable[[int], None] = lambda _: link_fold(source, target, 3)  # noqa: E731
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(link, range(2)))
    monkeypatch.undo()
    assert list(links(target)) == ["00", "03", "08"]
