from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from topokd.datasets import SemanticKITTI
from topokd.training.state import ResumeFolder, dataset_fingerprint, run_key


def test_a_state_is_found_only_by_its_key_and_stale_ones_are_deleted(tmp_path: Path) -> None:
    first = ResumeFolder(tmp_path, "full-seed0", run_key(lr=1))
    first.save({"step": 3})
    other = ResumeFolder(tmp_path, "full-seed1", run_key(lr=1))
    other.save({"step": 4})
    changed = ResumeFolder(tmp_path, "full-seed0", run_key(lr=2))
    assert changed.load() is None
    assert not first.path.exists() and other.load() == {"step": 4}


def test_a_damaged_state_is_logged_and_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = ResumeFolder(tmp_path, "run", "key")
    folder.save({"weights": torch.ones(100)})
    file = folder.path / "state.pt"
    file.write_bytes(file.read_bytes()[:200])
    assert folder.load() is None
    assert "starts from the beginning" in caplog.text


class Evil:
    def __reduce__(self) -> tuple:
        return (print, ("code from a state file",))


def test_a_state_cannot_run_code(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = ResumeFolder(tmp_path, "run", "key")
    folder.save({"step": Evil()})
    assert folder.load() is None
    assert capsys.readouterr().out == ""


def test_any_changed_byte_of_a_scan_changes_the_fingerprint(scans: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(scans, copy)
    before = dataset_fingerprint(SemanticKITTI(scans, "train"))
    assert dataset_fingerprint(SemanticKITTI(copy, "train")) == before
    label = copy / "sequences/00/labels/000001.label"
    content = bytearray(label.read_bytes())
    content[len(content) // 2 // 4 * 4] ^= 40 ^ 10
    label.write_bytes(content)
    assert dataset_fingerprint(SemanticKITTI(copy, "train")) != before
