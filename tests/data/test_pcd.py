"""Headers of .pcd files: optional parts, padding, damage."""

import struct

import numpy as np
import pytest

from tests.data.scans import street
from topokd.data.formats import read_cloud
from topokd.errors import DataError

PCD = """# .PCD v0.7 - Point Cloud Data
VERSION 0.7
FIELDS x y z intensity
SIZE 4 4 4 4
TYPE F F F F
COUNT 1 1 1 1
WIDTH 3000
HEIGHT 1
VIEWPOINT 0 0 0 1 0 0 0
POINTS 3000
DATA binary""".splitlines()


def header(end="\n", **lines):
    """The header of a .pcd with some lines changed; None leaves one out."""
    kept = [f"{line.split()[0]} {lines[line.split()[0]]}" if lines.get(line.split()[0]) else line for line in PCD]
    return end.join(line for line in kept if lines.get(line.split()[0], "") is not None).encode() + end.encode()


@pytest.mark.parametrize(
    "change",
    [
        {},
        *({name: None} for name in ("COUNT", "VIEWPOINT", "VERSION", "POINTS")),
        {"COUNT": None, "VIEWPOINT": None, "VERSION": None, "WIDTH": None, "HEIGHT": None},
        *({"end": "\r\n"}, {"DATA": "BINARY"}, {"VERSION": ".7"}, {"VERSION": "0.6"}, {"VIEWPOINT": "0 0 ?"}),
        {"WIDTH": "60", "HEIGHT": "50"},
    ],
    ids=str,
)
def test_optional_parts_of_a_pcd_header_may_be_absent(tmp_path, change):
    rows = street()
    (tmp_path / "a.pcd").write_bytes(header(**change) + rows.tobytes())
    np.testing.assert_array_equal(read_cloud(tmp_path / "a.pcd").scan.xyz, rows[:, :3])


def test_a_pcd_file_with_the_padding_of_pcl_is_read(tmp_path):
    """PCL writes the bytes between its fields as fields that are all called `_`."""
    rows = street()
    layout = [("xyz", "<f4", 3), ("pad", "u1", 4), ("intensity", "<f4"), ("ring", "<u2"), ("rest", "u1", 10)]
    points = np.zeros(3000, layout)
    points["xyz"], points["intensity"] = rows[:, :3], rows[:, 3]
    lines = {
        "FIELDS": "x y z _ intensity ring _",
        "SIZE": "4 4 4 1 4 2 1",
        "TYPE": "F F F U F U U",
        "COUNT": "1 1 1 4 1 1 10",
    }
    (tmp_path / "a.pcd").write_bytes(header(**lines) + points.tobytes())
    cloud = read_cloud(tmp_path / "a.pcd")
    np.testing.assert_array_equal(cloud.scan.xyz, rows[:, :3])
    np.testing.assert_array_equal(cloud.scan.intensity, rows[:, 3])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"FIELDS": "x y z"}, "3 FIELDS, but 4 of TYPE"),
        ({"SIZE": "4 4 4 3"}, "the field intensity has the TYPE F and the SIZE 3"),
        ({"TYPE": "F F F X"}, "the field intensity has the TYPE X"),
        ({"POINTS": "-1"}, "POINTS -1, not whole numbers"),
        ({"POINTS": "4000"}, "too few for the 4,000 points"),
        ({"COUNT": "1 1 1 x"}, "COUNT 1 1 1 x, not whole"),
        ({"FIELDS": None}, "no FIELDS"),
        ({"POINTS": None, "HEIGHT": None}, "no POINTS"),
        ({"POINTS": "0"}, "has no points"),
        ({"FIELDS": "x y _ intensity"}, "lacks the field z"),
    ],
)
def test_a_damaged_pcd_header_is_named(tmp_path, change, words):
    (tmp_path / "a.pcd").write_bytes(header(**change) + street().tobytes())
    with pytest.raises(DataError, match=rf"a\.pcd.*{words}"):
        read_cloud(tmp_path / "a.pcd")


def test_an_ascii_pcd_may_use_any_white_space(tmp_path):
    rows = street()
    body = "\r\n".join("  ".join(f"{value:.9g}" for value in row) + " \t" for row in rows.tolist())
    (tmp_path / "a.pcd").write_bytes(b"# Stra\xdfe\n" + header(DATA="ascii") + body.encode())
    np.testing.assert_array_equal(read_cloud(tmp_path / "a.pcd").scan.xyz, rows[:, :3])
    (tmp_path / "a.pcd").write_bytes(header(DATA="ascii") + b"1 2 3 4\n" * 2999 + b"1 2 3\n")
    with pytest.raises(DataError, match=r"a\.pcd"):
        read_cloud(tmp_path / "a.pcd")


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_more_points_than_the_header_counts_are_mentioned(tmp_path, encoding):
    head = b"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS 2\nDATA " + encoding.encode() + b"\n"
    rows = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], "<f4")
    body = rows.tobytes() if encoding == "binary" else b"1 2 3\n4 5 6\n7 8 9\n"
    (tmp_path / "a.pcd").write_bytes(head + body)
    cloud = read_cloud(tmp_path / "a.pcd")
    assert len(cloud.xyz) == 2 and any("room for 1 more" in str(note) for note in cloud.notes)


def ascii_pcd(path, lines, points=None, width=None, viewpoint="0 0 0 1 0 0 0"):
    """A .pcd file of text with x, y, z and intensity."""
    count = len(lines) if points is None else points
    head = f"VERSION .7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nWIDTH {width or count}\nHEIGHT 1\n"
    path.write_text(f"{head}VIEWPOINT {viewpoint}\nPOINTS {count}\nDATA ascii\n" + "\n".join(lines))
    return path


@pytest.mark.parametrize("word", ["-nan(ind)", "nan", "1.#QNAN", "-1.#IND", "NaN"])
def test_every_spelling_of_a_missing_return_is_read(tmp_path, word):
    cloud = read_cloud(ascii_pcd(tmp_path / "a.pcd", ["1 2 3 0.5", f"{word} {word} {word} 0", "2 2 1 0.25"]))
    assert cloud.finite.tolist() == [True, False, True] and cloud.scan.xyz.tolist() == [[1, 2, 3], [2, 2, 1]]


@pytest.mark.parametrize("line", ["1,2,3,0.5", "1,5 2,5 3,5 0,5"])
def test_commas_between_and_in_numbers_are_named(tmp_path, line):
    with pytest.raises(DataError, match="its points are written with commas"):
        read_cloud(ascii_pcd(tmp_path / "a.pcd", [line] * 3))


def test_comments_between_the_points_are_skipped(tmp_path, recwarn):
    cloud = read_cloud(ascii_pcd(tmp_path / "a.pcd", ["# made by hand", "1 2 3 0.5", "", "2 2 1 0.25 # last"], 2))
    assert len(cloud.xyz) == 2 and not cloud.notes and not recwarn.list


def test_a_header_that_contradicts_itself_or_turns_the_sensor_is_noted(tmp_path):
    lines = ["1 2 3 0.5", "2 2 1 0.25"]
    first = read_cloud(ascii_pcd(tmp_path / "a.pcd", lines, width=7))
    second = read_cloud(ascii_pcd(tmp_path / "b.pcd", lines, viewpoint="0 0 0 0.7071 0 0 0.7071"))
    kinds = [[note.kind for note in cloud.notes] for cloud in (first, second)]
    assert kinds == [["POINTS is not WIDTH x HEIGHT"], ["VIEWPOINT turned"]] and len(first.xyz) == 2


@pytest.mark.parametrize("name", ["xyz", "XYZ", "position", "points"])
@pytest.mark.parametrize("encoding", ["binary", "ascii", "binary_compressed"])
def test_coordinates_in_one_field_are_read(tmp_path, name, encoding):
    rows = street()
    lines = {"FIELDS": f"{name} intensity", "SIZE": "4 4", "TYPE": "F F", "COUNT": "3 1", "DATA": encoding}
    body = rows.tobytes()
    if encoding == "ascii":
        body = "\n".join(" ".join(map(repr, row)) for row in rows.astype(float).tolist()).encode()
    if encoding == "binary_compressed":
        lzf = pytest.importorskip("lzf")
        plain = rows[:, :3].tobytes() + rows[:, 3].tobytes()
        packed = lzf.compress(plain, 2 * len(plain))
        body = struct.pack("<II", len(packed), len(plain)) + packed
    (tmp_path / "a.pcd").write_bytes(header(**lines) + body)
    cloud = read_cloud(tmp_path / "a.pcd")
    np.testing.assert_array_equal(cloud.scan.xyz, rows[:, :3])
    np.testing.assert_array_equal(cloud.scan.intensity, rows[:, 3])


def test_a_field_of_other_numbers_is_not_taken_for_coordinates(tmp_path):
    rows = street()
    lines = {"FIELDS": "normal intensity", "SIZE": "4 4", "TYPE": "F F", "COUNT": "3 1"}
    (tmp_path / "a.pcd").write_bytes(header(**lines) + rows.tobytes())
    with pytest.raises(DataError, match=r"lacks the field x, y, z; it has normal \(3 values each\), intensity"):
        read_cloud(tmp_path / "a.pcd")
    lines |= {"FIELDS": "xyz intensity", "POINTS": "0", "WIDTH": "0"}
    (tmp_path / "b.pcd").write_bytes(header(**lines))
    with pytest.raises(DataError, match=r"b\.pcd has no points"):
        read_cloud(tmp_path / "b.pcd")
