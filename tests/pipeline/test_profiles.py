"""Each profile's copy of dvc.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from topokd.pipeline import stale_profiles, update_profiles


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for profile in ("one", "two", "three"):
        (tmp_path / "conf" / profile).mkdir(parents=True)
        (tmp_path / "conf" / profile / "params.yaml").write_text("")
    (tmp_path / "conf/notes").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "conf/one/dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "conf/two/dvc.yaml").write_text("../../dvc.yaml")  # a link that a copy of the tree made into text
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    return tmp_path


def test_missing_and_stale_copies_are_written(project: Path):
    names = {"two", "three"}
    assert {file.parent.name for file in stale_profiles()} == names
    assert {file.parent.name for file in update_profiles()} == names
    assert stale_profiles() == []
    assert (project / "conf/two/dvc.yaml").read_text() == "stages: {}\n"
    assert not (project / "conf/notes/dvc.yaml").exists()


def test_a_link_is_replaced_and_not_written_through(project: Path):
    file = project / "conf/one/dvc.yaml"
    file.unlink()
    elsewhere = project / "elsewhere.yaml"
    elsewhere.write_text("old")
    file.symlink_to(elsewhere)
    update_profiles()
    assert elsewhere.read_text() == "old" and not file.is_symlink()
