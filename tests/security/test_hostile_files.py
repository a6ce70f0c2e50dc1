"""Malicious files: each is rejected with a `TopokdError` before it runs code or fills the memory."""

from __future__ import annotations

import json
import pickle
import re
import resource
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.conftest import PROJECT
from topokd import params as P
from topokd.data.formats import read_cloud
from topokd.datasets.nuscenes.archive import folder_to_read
from topokd.datasets.nuscenes.tables import read_table
from topokd.datasets.waymo.footer import column_chunks
from topokd.datasets.waymo.parquet import Component
from topokd.datasets.waymo.submission import validate_submission_file
from topokd.errors import CheckpointError, DataError, ParameterError, TopokdError
from topokd.explore.packing import to_text
from topokd.models import build_model, load_checkpoint
from topokd.viz.export import write_view


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("open('ran', 'w').close()",)


@pytest.fixture(autouse=True)
def nothing_runs_and_memory_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert not (tmp_path / "ran").exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


def pcd(points: int, data: str, body: bytes = b"\0" * 64) -> bytes:
    head = "VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\n"
    return f"{head}WIDTH {points}\nHEIGHT 1\nPOINTS {points}\nDATA {data}\n".encode() + body


def npy(shape: tuple[int, ...]) -> bytes:
    head = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head


PLY = "ply\nformat {} 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
HOSTILE = {
    "billion-ascii.pcd": pcd(10**12, "ascii", b"1 2 3\n"),
    "billion-binary.pcd": pcd(10**12, "binary"),
    "billion-packed.pcd": pcd(10**12, "binary_compressed"),
    "four-gigabytes.pcd": pcd(2**32 // 12, "binary_compressed", struct.pack("<II", 40, 2**32 // 12 * 12) + b"\0" * 40),
    "negative.pcd": pcd(-1, "binary"),
    "ascii.ply": PLY.format("ascii", 10**12).encode() + b"1 2 3\n",
    "binary.ply": PLY.format("binary_little_endian", 10**12).encode() + b"\0" * 36,
    "huge.npy": npy((10**12, 4)) + b"\0" * 64,
    "object.npy": pickle.dumps(Bomb()),
    "huge.las": b"LASF" + b"\0" * 20 + b"\1\2" + b"\xff" * 400,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_cloud_whose_header_lies_is_rejected(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(HOSTILE[name])
    with pytest.raises(DataError, match=name):
        read_cloud(path)


def test_a_laz_file_that_counts_a_billion_chunks_is_rejected(tmp_path: Path) -> None:
    laspy = pytest.importorskip("laspy")
    las = laspy.create(point_format=3, file_version="1.2")
    las.x = las.y = las.z = np.arange(40.0)
    las.write(str(tmp_path / "chunks.laz"))
    assert len(read_cloud(tmp_path / "chunks.laz").xyz) == 40
    data = bytearray((tmp_path / "chunks.laz").read_bytes())
    (points,) = struct.unpack_from("<I", data, 96)
    (table,) = struct.unpack_from("<q", data, points)
    struct.pack_into("<I", data, table + 4, 10**9)
    (tmp_path / "chunks.laz").write_bytes(data)
    with pytest.raises(DataError, match=r"chunks.laz.*damaged"):
        read_cloud(tmp_path / "chunks.laz")


@pytest.mark.parametrize("points", [1_080_519_612, 0])
def test_a_laz_file_whose_chunks_have_a_billion_points_or_none_is_rejected(tmp_path: Path, points: int) -> None:
    """lazrs would allocate 36 GB and abort the process, or panic."""
    laspy = pytest.importorskip("laspy")
    las = laspy.create(point_format=3, file_version="1.2")
    las.x = las.y = las.z = np.arange(40.0)
    las.write(str(tmp_path / "chunk.laz"))
    data = (tmp_path / "chunk.laz").read_bytes()
    size = struct.pack("<I", 50_000)
    assert data.count(size) == 1
    (tmp_path / "chunk.laz").write_bytes(data.replace(size, struct.pack("<I", points)))
    with pytest.raises(DataError, match=r"chunk.laz.*damaged"):
        read_cloud(tmp_path / "chunk.laz")


def test_a_zlib_bomb_in_a_submission_is_not_unpacked(tmp_path: Path) -> None:
    messages = pytest.importorskip("topokd.datasets.waymo.messages").messages()
    packer = zlib.compressobj()
    bomb = b"".join(packer.compress(b"\0" * (1 << 24)) for _ in range(40)) + packer.flush()  # of 670 MB
    submission = messages.submission()
    frame = submission.inference_results.frames.add(context_name="s", frame_timestamp_micros=5)
    label = frame.segmentation_labels.add(name=1)
    for image in (label.ri_return1, label.ri_return2):
        image.segmentation_label_compressed = bomb
    (tmp_path / "bomb.bin").write_bytes(submission.SerializeToString())
    problems = validate_submission_file(tmp_path / "bomb.bin", [("s", 5)])
    assert sum("unpacks to more than" in problem for problem in problems) == 2


def test_a_parquet_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column of 64 MB of zeros in a few kilobytes, read where 100 MB are free."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    keys = {"key.segment_context_name": ["s"], "key.laser_name": [1], "key.frame_timestamp_micros": [5]}
    zeros = pa.array([np.zeros(1 << 24, np.float32)])
    file = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({**keys, "v": zeros}), file, compression="zstd", use_dictionary=False)
    assert file.stat().st_size < 100_000
    monkeypatch.setattr("topokd.checks.available_memory", lambda: 100_000_000)
    with pytest.raises(DataError, match=r"bomb.parquet, row group 0.*fill the memory"):
        Component(file, "lidar").get(5, ["v"])


def test_the_footer_of_a_parquet_file_is_read_as_pyarrow_reads_it_and_damage_is_an_error(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [1, 2, 3, 4], "b": [[1.0]] * 4, "c": ["x"] * 4}), file, row_group_size=3)
    with pq.ParquetFile(file) as opened:
        groups = [opened.metadata.row_group(k) for k in range(2)]
        columns = [[group.column(k) for k in range(3)] for group in groups]
        expected = [{c.path_in_schema: c.total_uncompressed_size for c in group} for group in columns]
    assert [{path: chunk.size for path, chunk in group.items()} for group in column_chunks(file)] == expected
    data = file.read_bytes()
    (length,) = struct.unpack("<I", data[-8:-4])
    for cut in range(1, length, 7):
        file.write_bytes(data[: -8 - cut] + struct.pack("<I", length - cut) + b"PAR1")
        with pytest.raises(ValueError, match="footer"):
            column_chunks(file)


def test_a_zip_bomb_of_arrays_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("points.npy", npy((2**32, 4)) + b"\0" * (1 << 24))
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\1\2")
    data[place + 24 : place + 28] = struct.pack("<I", 0xFFFFFFF0)  # it claims 4 GB
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"bomb.npz"):
        read_cloud(path)


def test_arrays_of_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "objects.npz", points=np.array([Bomb()], dtype=object))
    for name in ("objects.npy", "objects.npz"):
        with pytest.raises(DataError, match="pickled"):
            read_cloud(tmp_path / name)


@pytest.mark.parametrize("content", [pickle.dumps(Bomb(), 2), b"\x80\x02." + pickle.dumps(Bomb(), 2)], ids=len)
def test_a_checkpoint_that_is_a_program_is_not_run(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    torch.save({"state_dict": {"a": torch.ones(1)}, "config": Bomb()}, tmp_path / "zipped.pth")
    for name in ("weights.pth", "zipped.pth"):
        with pytest.raises(CheckpointError, match=name):
            load_checkpoint(tmp_path / name, build_model("ptv3-tiny", num_classes=2))


@pytest.mark.parametrize("name", ["../outside", "/etc/cron.d/job", "a/../../b", "..\\outside", "C:\\outside"])
def test_archives_and_tables_cannot_name_files_outside(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(DataError, match="leads out of its folder"), folder_to_read(tmp_path / "s.zip"):
        pass
    record = {"sample_data_token": "t", "filename": name}
    (tmp_path / "lidarseg.json").write_text(json.dumps([record]))
    with pytest.raises(DataError, match=r"lidarseg.json.*filename.*leads out of its folder"):
        read_table(tmp_path, "lidarseg")


def test_a_link_in_an_archive_is_not_followed(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with folder_to_read(tmp_path / "s.zip") as folder:
        assert not (folder / "link").is_symlink() and (folder / "link").read_text() == "/etc/passwd"


def test_an_archive_that_unpacks_to_more_than_a_submission_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(3):
            archive.writestr(f"lidarseg/test/{k}.bin", b"\0" * 1000)
    data = path.read_bytes().replace(struct.pack("<I", 1000), struct.pack("<I", 0xF0000000))
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"12.1 GB in 3 files.*not unpacked"), folder_to_read(path):
        pass


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system [touch ran]", "a: !!python/name:os.system ''"])
def test_yaml_builds_no_objects(tmp_path: Path, text: str) -> None:
    (tmp_path / "profile.yaml").write_text(text)
    with pytest.raises((ParameterError, yaml.YAMLError)) as raised:
        P.load(tmp_path / "profile.yaml")
    assert isinstance(raised.value, TopokdError)


def test_names_from_files_are_text_in_pages(tmp_path: Path) -> None:
    name = "</title></script><script>alert(1)</script>.bin"
    assert "<" not in to_text({"name": name})
    xyz = np.random.default_rng(0).normal(size=(20, 3))
    write_view(tmp_path / "cloud.html", xyz, np.zeros(20, int), (name,), ((0, 0, 0),), name)
    page = (tmp_path / "cloud.html").read_text()
    assert "<script>alert(1)" not in page


def test_jupyterlab_accepts_only_local_connections_and_asks_for_its_token() -> None:
    """The server that `make lab` starts, with its installed defaults."""
    serverapp = pytest.importorskip("jupyter_server.serverapp")
    recipe = re.search(r"(?ms)^lab:.*?\n\n", (PROJECT / "Makefile").read_text())
    assert recipe is not None
    (command,) = [line for line in recipe[0].splitlines() if line.strip().startswith("jupyter lab")]
    assert not re.search(r"--(ip|allow|no-|\S*(token|password))", command)
    assert not [file for file in PROJECT.glob("*jupyter*config*")]
    server = serverapp.ServerApp()
    assert server.ip == "localhost" and not server.allow_remote_access and not server.allow_root
    assert len(server.identity_provider_class(parent=server).token) >= 32
