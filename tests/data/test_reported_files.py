"""Files as in public reports of people who convert scans: coordinates by other names, decibels, headers that count less
than there is, several arrays in one file, suffixes of other programs."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest

from topokd.data.formats import read_cloud
from topokd.errors import DataError

laspy = pytest.importorskip("laspy")

RNG = np.random.default_rng(0)
ROWS = np.column_stack([RNG.uniform(-20, 20, (500, 2)), RNG.uniform(-2, 3, 500), RNG.random(500)]).astype("<f4")


def kinds(path: Path, **options: object) -> list[str]:
    return [note.kind for note in read_cloud(path, log_notes=False, **options).notes]  # type: ignore[arg-type]


def write_ply(path: Path, properties: list[str], body: bytes, points: int = len(ROWS)) -> Path:
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {points}"]
    lines += [f"property {name}" for name in properties] + ["end_header", ""]
    path.write_bytes("\n".join(lines).encode() + body)
    return path


def write_las(path: Path, offset: float = 0.0, **fields: tuple[str, np.ndarray, str]) -> Path:
    header = laspy.LasHeader(point_format=6, version="1.4")
    header.scales, header.offsets = [0.001] * 3, [offset] * 3
    for name, (kind, _, description) in fields.items():
        header.add_extra_dim(laspy.ExtraBytesParams(name, kind, description))
    las = laspy.LasData(header)
    las.x, las.y, las.z = ROWS[:, :3].T.astype(float)
    las.intensity = (ROWS[:, 3] * 65535).astype("u2")
    for name, (_, values, _) in fields.items():
        las[name] = values
    las.write(str(path))
    return path


@pytest.mark.parametrize(
    "names", ["px py pz", "position_x position_y position_z", "x_m y_m z_m", "cartesianX cartesianY cartesianZ"]
)
def test_coordinates_by_another_name_are_taken_and_said(tmp_path: Path, names: str) -> None:
    path = write_ply(tmp_path / "a.ply", [f"float {name}" for name in (*names.split(), "intensity")], ROWS.tobytes())
    cloud = read_cloud(path, log_notes=False)
    assert np.array_equal(cloud.xyz, ROWS[:, :3]) and cloud.field == "intensity"
    assert "are taken for x, y, z, by their names" in str(cloud.notes[0])


@pytest.mark.parametrize("names", ["nx ny nz", "px py qz", "vx vy vz"])
def test_normals_and_velocities_are_no_coordinates(tmp_path: Path, names: str) -> None:
    path = write_ply(tmp_path / "a.ply", [f"float {name}" for name in (*names.split(), "intensity")], ROWS.tobytes())
    with pytest.raises(DataError, match="lacks the field x, y, z.*convert its coordinates to fields x, y, z"):
        read_cloud(path)


def test_two_triples_of_other_names_are_not_guessed_between(tmp_path: Path) -> None:
    both = np.concatenate([ROWS[:, :3], ROWS[:, :3] + 1], axis=1)
    names = [f"float {name}" for name in ("px", "py", "pz", "lidar_x", "lidar_y", "lidar_z")]
    with pytest.raises(DataError, match="lacks the field x, y, z"):
        read_cloud(write_ply(tmp_path / "a.ply", names, both.tobytes()))


def test_angles_in_place_of_coordinates_are_named(tmp_path: Path) -> None:
    names = ["float range", "float azimuth", "float elevation", "float intensity"]
    with pytest.raises(DataError, match="convert its angles or distances to fields x, y, z in metres"):
        read_cloud(write_ply(tmp_path / "a.ply", names, ROWS.tobytes()))


def test_a_list_of_three_coordinates_per_point_is_read(tmp_path: Path) -> None:
    body = b"".join(b"\x03" + row[:3].tobytes() + row[3:].tobytes() for row in ROWS)
    path = write_ply(tmp_path / "a.ply", ["list uchar float xyz", "float intensity"], body)
    assert np.array_equal(read_cloud(path).xyz, ROWS[:, :3])
    body = b"\x02" + body[1:9] + body[13:]  # the first list has two numbers
    with pytest.raises(DataError, match="lacks the field x, y, z"):
        read_cloud(write_ply(path, ["list uchar float xyz", "float intensity"], body))


def test_a_reflectance_that_is_described_as_decibels_is_passed_over(tmp_path: Path) -> None:
    """All of it above 0, so that only its description says so."""
    path = write_las(tmp_path / "a.las", Reflectance=("f4", 30 * ROWS[:, 3], "Echo signal reflectance [dB]"))
    cloud = read_cloud(path, log_notes=False)
    assert cloud.field == "intensity" and "reflectance is in decibels" in str(cloud.notes[0])
    assert read_cloud(path, intensity="Reflectance", log_notes=False).field == "reflectance"
    plain = write_las(tmp_path / "b.las", Reflectance=("f4", ROWS[:, 3], "calibrated"))
    assert read_cloud(plain, log_notes=False).field == "reflectance"


def test_points_beyond_the_count_of_a_las_header_are_noted(tmp_path: Path) -> None:
    path = write_las(tmp_path / "a.las")
    assert "more points than the header counts" not in kinds(path)
    data = bytearray(path.read_bytes())
    struct.pack_into("<Q", data, 247, 400)
    path.write_bytes(data)
    (note,) = [note for note in read_cloud(path, log_notes=False).notes if note.kind.startswith("more points")]
    assert "counts 400 points, and there is room for 100 more" in str(note)


def test_extended_records_after_the_points_are_no_points(tmp_path: Path) -> None:
    path = write_las(tmp_path / "a.las")
    data = bytearray(path.read_bytes())
    struct.pack_into("<QI", data, 235, len(data), 1)
    path.write_bytes(data + struct.pack("<H16sHQ32s", 0, b"topokd", 1, 3000, b"text") + bytes(3000))
    assert "more points than the header counts" not in kinds(path)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [(131, -0.001, "its header has the scales"), (147, -0.001, "its header has the scales")],
)
def test_a_negative_scale_would_mirror_the_scan(tmp_path: Path, place: int, value: float, words: str) -> None:
    path = write_las(tmp_path / "a.las")
    data = bytearray(path.read_bytes())
    struct.pack_into("<d", data, place, value)
    path.write_bytes(data)
    with pytest.raises(DataError, match=words):
        read_cloud(path)


@pytest.mark.parametrize("version", [(1, 5), (2, 0)])
def test_a_later_version_of_las_is_named(tmp_path: Path, version: tuple[int, int]) -> None:
    path = write_las(tmp_path / "a.las")
    data = bytearray(path.read_bytes())
    data[24:26] = bytes(version)
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"says that it is LAS {version[0]}\.{version[1]}; 1.0 to 1.4 can be read"):
        read_cloud(path)


def test_a_packed_pcd_whose_body_was_stored_as_it_is_is_read(tmp_path: Path) -> None:
    body = ROWS.T.tobytes()
    header = "VERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\n"
    header += f"WIDTH {len(ROWS)}\nHEIGHT 1\nPOINTS {len(ROWS)}\nDATA binary_compressed\n"
    path = tmp_path / "a.pcd"
    path.write_bytes(header.encode() + struct.pack("<II", len(body), len(body)) + body)
    assert np.array_equal(read_cloud(path).xyz, ROWS[:, :3])


def test_several_arrays_in_one_npy_file_are_noted(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as stream:
        np.save(stream, ROWS)
        np.save(stream, ROWS)
    assert kinds(tmp_path / "a.npy") == ["more than one array"]


def test_two_scans_in_one_array_are_not_read_as_one_without_a_word(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.stack([ROWS, ROWS]))
    assert "array with three axes" in kinds(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", ROWS[None])
    assert kinds(tmp_path / "b.npy") == []


@pytest.mark.parametrize("separator", [" ", ",", "; "])
def test_a_table_of_text_that_is_called_npy_is_not_said_to_be_a_pickle(tmp_path: Path, separator: str) -> None:
    (tmp_path / "a.npy").write_text("\n".join(separator.join(f"{value:.3f}" for value in row) for row in ROWS))
    with pytest.raises(DataError, match="is a table of text, not an array of NumPy"):
        read_cloud(tmp_path / "a.npy")


def test_longitude_and_latitude_are_named(tmp_path: Path) -> None:
    place = np.column_stack([8.4 + ROWS[:, 0] * 9e-6, 49 + ROWS[:, 1] * 1.4e-5, 115 + ROWS[:, 2], ROWS[:, 3]])
    np.save(tmp_path / "a.npy", place.astype("f8"))
    assert "degrees instead of metres" in kinds(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", ROWS)
    assert "degrees instead of metres" not in kinds(tmp_path / "b.npy")


def archive() -> bytes:
    import torch

    stream = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.e57", b"ASTM-E57" + bytes(99), r"is an \.e57 file: convert it to \.las or \.ply"),
        ("a.pcap", b"\xd4\xc3\xb2\xa1" + bytes(99), "a packet capture"),
        ("a.bin", b"\xa1\xb2\xc3\xd4" + bytes(96), "a packet capture"),
        ("a.bag", b"#ROSBAG V2.0\n" + bytes(99), "is a ROS bag: export its clouds"),
        ("a.mcap", b"\x89MCAP0\r\n" + bytes(99), "is a ROS 2 bag"),
        ("a.laz.gz", b"\x1f\x8b\x08\0" + bytes(99), "is packed by gzip: unpack it first"),
        ("a.pth", archive(), "holds weights of a network"),
        ("a.xyzrgb", b"1 2 3\n", "is not readable; convert it to one of"),
    ],
)
def test_files_of_other_programs_are_named_whatever_their_suffix(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_cloud(tmp_path / name)
