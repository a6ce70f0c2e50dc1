"""Archives and columns that unpack to far more than they seem to, or that no folder can hold, are rejected."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from topokd.data.formats import read_cloud
from topokd.datasets.nuscenes.archive import folder_to_read
from topokd.datasets.nuscenes.panoptic import read_panoptic
from topokd.datasets.waymo.footer import Chunk, column_chunks, decoded_size
from topokd.datasets.waymo.parquet import Component
from topokd.errors import CheckpointError, DataError
from topokd.explore.files import read_points
from topokd.models import build_model, load_checkpoint

FREE = 20_000_000
"""Bytes that are free in these tests, where `require_memory` looks at more than 64 MB."""


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topokd.checks.available_memory", lambda: FREE)


def test_equal_numbers_that_a_parquet_file_counts_in_a_few_bytes_are_not_unpacked(
    tmp_path: Path, little_memory: None
) -> None:
    """2 kB of run lengths that stand for 80 MB; the footer says 98 bytes, and pages say how many values there are."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    keys = {"key.segment_context_name": ["s"], "key.laser_name": [1], "key.frame_timestamp_micros": [5]}
    file, values = tmp_path / "runs.parquet", 20_000_000
    pq.write_table(pa.table({**keys, "v": [np.zeros(values, np.float32)]}), file, data_page_size=1 << 30)
    (group,) = column_chunks(file)
    assert file.stat().st_size < 10_000 and group["v.list.element"].size < 1000
    assert decoded_size(file, group["v.list.element"]) >= 4 * values
    component = Component(file, "lidar")
    with pytest.raises(DataError, match=r"runs.parquet, row group 0 needs .* fill the memory"):
        component.get(5, ["v"])


def test_the_size_of_texts_is_that_of_the_longest_one_times_their_number(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file, text = tmp_path / "texts.parquet", "x" * 1000
    pq.write_table(pa.table({"a": [text] * 5000, "b": [1.0] * 5000, "c": [7] * 5000}), file)
    (group,) = column_chunks(file)
    assert group["a"].size < 10_000 and decoded_size(file, group["a"]) >= 5_000_000
    assert decoded_size(file, group["b"]) == decoded_size(file, group["c"]) == 40_000


@pytest.mark.parametrize("start", [0, 4, 30, 10**9])
def test_a_column_that_begins_elsewhere_is_an_error_or_empty(tmp_path: Path, start: int) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": np.arange(50)}), file)
    (group,) = column_chunks(file)
    true = group["a"]
    if start == true.start or start > 10**6:
        assert decoded_size(file, Chunk(true.kind, true.size, start, true.length)) >= true.size
    else:
        with pytest.raises(ValueError, match="footer|page|nested"):
            decoded_size(file, Chunk(true.kind, true.size, start, true.length))


def test_weights_that_are_packed_to_fill_the_memory_are_not_unpacked(tmp_path: Path, little_memory: None) -> None:
    """torch.save packs nothing, but torch.load unpacks what is packed."""
    model = build_model("ptv3-tiny", num_classes=2)
    torch.save({"a": torch.zeros(25_000_000)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry))
    (tmp_path / "plain.pth").unlink()
    assert (tmp_path / "bomb.pth").stat().st_size < 200_000
    with pytest.raises(CheckpointError, match=r"bomb\.pth: unpacked needs 0\.1 GB .* fill the memory"):
        load_checkpoint(tmp_path / "bomb.pth", model)


def test_panoptic_labels_that_unpack_to_more_than_there_is_memory_are_not_unpacked(
    tmp_path: Path, little_memory: None
) -> None:
    np.savez_compressed(tmp_path / "a.npz", data=np.zeros(35_000_000, np.uint16))
    with pytest.raises(DataError, match=r"a\.npz.*fill the memory"):
        read_panoptic(tmp_path / "a.npz", 35_000_000)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<u2', 'fortran_order': False, 'shape': (4,",  # NumPy's parser asks for more lines
        "{'descr': '<u2', 'fortran_order': False, 'shape': (10**13,)}",
        f"{{'descr': '<u2', 'fortran_order': False, 'shape': ({10**13},)}}",  # 20 TB
        "{'descr': ',f4', 'fortran_order': False, 'shape': (4,)}",  # NumPy parses the type as Python
    ],
    ids=["open", "expression", "huge", "type"],
)
def test_an_array_whose_header_lies_is_an_error_in_every_reader(tmp_path: Path, header: str) -> None:
    line = header.ljust(117).encode() + b"\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line + b"\0" * 8
    (tmp_path / "a.npy").write_bytes(array)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("data.npy", array)
    with pytest.raises(DataError, match=r"a\.npz"):
        read_panoptic(tmp_path / "a.npz", 4)
    for read in (read_points, read_cloud):
        with pytest.raises(DataError, match=r"a\.npy"):
            read(tmp_path / "a.npy")


def test_an_archive_of_thousands_of_arrays_is_rejected_before_one_is_read(tmp_path: Path) -> None:
    """NumPy looks for each in a list, which takes minutes for 100,000. None of these can be read."""
    with zipfile.ZipFile(tmp_path / "many.npz", "w") as archive:
        for k in range(2000):
            archive.writestr(f"{k}.npy", b"")
    with pytest.raises(DataError, match=r"many\.npz holds 2,000 arrays"):
        read_cloud(tmp_path / "many.npz")


def test_a_ply_header_without_an_end_is_rejected_and_messages_stay_short(tmp_path: Path) -> None:
    file = tmp_path / "elements.ply"
    for count, words in ((300, r"only e0, e1, e2, e3, e4, \.\.\. \(300\)$"), (100_000, "within a megabyte")):
        elements = "".join(f"element e{k} 0\n" for k in range(count))
        file.write_text(f"ply\nformat ascii 1.0\n{elements}end_header\n")
        with pytest.raises(DataError, match=words):
            read_cloud(file)


@pytest.mark.parametrize("names", [("lidarseg", "lidarseg/x.bin"), ("a/b/", "a/b"), ("x" * 300,)], ids=len)
def test_an_archive_whose_names_no_folder_can_hold_is_an_error(tmp_path: Path, names: tuple[str, ...]) -> None:
    """A file (or a link, which is unpacked as one) that is also a folder, and a name that is too long."""
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"" if name.endswith("/") else b"x")
    with pytest.raises(DataError, match=r"s\.zip is damaged"), folder_to_read(tmp_path / "s.zip"):
        pass


def test_a_page_of_parquet_that_claims_to_be_negative_is_an_error(tmp_path: Path) -> None:
    header = b"\x15\x00\x15\x09\x15\x09\x00"  # three i32: kind 0, sizes of -5
    (tmp_path / "p").write_bytes(header + struct.pack("<4I", 0, 0, 0, 0))
    with pytest.raises(ValueError, match="no sizes"):
        decoded_size(tmp_path / "p", Chunk(4, 10, 0, 20))
