"""Files that are read wrongly unless something about them is noticed: headers, other first columns, more points."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from tests.data.scans import kinds, saved, street, write
from topokd.data.formats import read_cloud
from topokd.errors import DataError

FIRST = {
    "a ring": np.arange(3000) % 32,
    "an intensity or a time": np.linspace(0, 0.1, 3000),
    "a time": np.linspace(3, 70, 3000),
}


@pytest.mark.parametrize("likely", FIRST)
@pytest.mark.parametrize("count", [3, 4])
def test_another_value_before_x_is_named_with_the_option(tmp_path, likely, count):
    """The fourth column is then z, and negative values of it were said to be decibels."""
    rows = np.column_stack([FIRST[likely], street()[:, :count]])
    path = saved(tmp_path / "a.bin", rows)
    with pytest.raises(DataError, match=f"the first looks like {likely}.* --columns") as raised:
        read_cloud(path)
    names = str(raised.value).rpartition("--columns ")[2].split(",")
    np.testing.assert_array_equal(read_cloud(path, names).xyz, rows[:, 1:4].astype(np.float32))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("place", [0, 4])
def test_times_since_1970_are_named(tmp_path, dtype, place):
    rows = np.insert(street(), place, 1.6e9 + np.linspace(0, 0.1, 3000), axis=1)
    path = saved(tmp_path / "a.bin", rows, dtype)
    with pytest.raises(DataError, match=f"as large as times .* --dtype {dtype}$"):
        read_cloud(path)
    names = ["x", "y", "z", "intensity"]
    names.insert(place, "_")
    assert len(read_cloud(path, names, dtype=dtype).scan) == 3000


def test_decibels_and_points_in_order_of_x_are_not_taken_for_another_first_column(tmp_path):
    rows = street()
    rows = rows[np.argsort(rows[:, 0])]
    assert not read_cloud(saved(tmp_path / "a.bin", rows)).notes
    rows = street()
    rows[:, 0], rows[:, 3] = np.abs(rows[:, 0]), rows[:, 3] - 20  # all in front of the sensor
    with pytest.raises(DataError, match="decibels"):
        read_cloud(saved(tmp_path / "b.bin", rows))


HEADERS = {
    "whole numbers": struct.pack("<4I", 1, 3000, 16, 0),
    "of 64 bits": struct.pack("<2Q", 3000, 7),
    "letters": b"LASER SCAN V1.2\n",
    "two rows": b"SCAN" + struct.pack("<7I", 1, 2, 3, 4, 5, 6, 3000),
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_as_long_as_a_few_points_is_rejected_with_advice(tmp_path, header):
    """It became a point far away, or one in the sensor, and the labels were shifted by it."""
    path = saved(tmp_path / "a.bin", street())
    path.write_bytes(header + path.read_bytes())
    with pytest.raises(DataError, match=f"its first {len(header)} bytes .* offset={len(header)}\\)"):
        read_cloud(path)
    assert len(read_cloud(saved(tmp_path / "b.bin", np.fromfile(path, "<f4", offset=len(header)))).scan) == 3000


def test_points_at_infinity_or_far_away_at_the_beginning_are_not_taken_for_a_header(tmp_path):
    rows = street()
    rows[:3, :3] = np.inf
    rows[3, :3] = 9e6
    assert read_cloud(saved(tmp_path / "a.bin", rows)).finite.sum() == 2996


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_a_ply_file_with_more_points_than_its_header_counts_is_noted(tmp_path, encoding):
    path = write(tmp_path / "a.ply", encoding)
    assert "more points than the header counts" not in kinds(read_cloud(path))
    path.write_bytes(path.read_bytes().replace(b"element vertex 4", b"element vertex 2"))
    (note,) = [note for note in read_cloud(path).notes if note.kind == "more points than the header counts"]
    assert "counts 2 points, and there is room for 2 more" in note.text


@pytest.mark.parametrize("text", [True, False])
def test_faces_after_the_points_of_a_ply_file_are_skipped(tmp_path, text):
    plyfile = pytest.importorskip("plyfile")
    vertex = np.array([(3, 0, -1), (4, 0, -1), (4, 2, -1)] * 40, [(axis, "f4") for axis in "xyz"])
    face = np.array([([0, 1, 2],)] * 30, [("vertex_indices", "i4", (3,))])
    elements = [plyfile.PlyElement.describe(vertex, "vertex"), plyfile.PlyElement.describe(face, "face")]
    plyfile.PlyData(elements, text=text).write(str(tmp_path / "a.ply"))
    assert "more points than the header counts" not in kinds(read_cloud(tmp_path / "a.ply"))


@pytest.mark.parametrize("shape", [(3000,), (3000, 1), (1, 3000)])
def test_intensities_in_an_archive_may_be_a_row_or_a_column(tmp_path, shape):
    rows = street()
    np.savez(tmp_path / "a.npz", xyz=rows[:, :3], intensity=rows[:, 3].reshape(shape))
    np.testing.assert_array_equal(read_cloud(tmp_path / "a.npz").scan.intensity, rows[:, 3])
    np.savez(tmp_path / "b.npz", xyz=rows[:10, :3], intensity=rows[:, 3].reshape(shape))
    with pytest.raises(DataError, match="intensity has 3000 values for the 10 points"):
        read_cloud(tmp_path / "b.npz")


def test_normals_are_not_read_as_intensities(tmp_path):
    rng, rows = np.random.default_rng(6), street(2000)
    normals = rng.normal(size=(2000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    np.save(tmp_path / "a.npy", np.column_stack([rows[:, :3], normals]))
    cloud = read_cloud(tmp_path / "a.npy")
    assert cloud.field is None and not cloud.scan.intensity.any()
    assert [note.kind for note in cloud.notes] == ["normals instead of intensities"]
    names = ("x", "y", "z", "_", "_", "_", "intensity")
    np.save(tmp_path / "b.npy", np.column_stack([rows[:, :3], normals, rows[:, 3]]))
    np.testing.assert_allclose(read_cloud(tmp_path / "b.npy", names).scan.intensity, rows[:, 3], rtol=1e-6)


@pytest.mark.parametrize("last", [0.1, 1999.0])
def test_a_column_that_grows_with_the_points_is_named_and_sparse_intensities_are_not(tmp_path, last):
    rows = street(2000)
    np.save(tmp_path / "a.npy", np.column_stack([rows[:, :3], np.linspace(0, last, 2000), rows[:, 3]]))
    assert "fourth column may be a time" in [note.kind for note in read_cloud(tmp_path / "a.npy").notes]
    rows[:, 3] = np.where(np.arange(2000) % 500 == 0, rows[:, 3], 0)
    np.save(tmp_path / "b.npy", rows)
    assert not any("time" in note.kind for note in read_cloud(tmp_path / "b.npy").notes)


def test_a_range_before_x_is_named(tmp_path):
    rows = street(2000)
    np.save(tmp_path / "a.npy", np.column_stack([np.linalg.norm(rows[:, :3], axis=1), rows]))
    with pytest.raises(
        DataError, match="the first looks like the distance of the point: name .*--columns _,x,y,z,inte"
    ):
        read_cloud(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", [(40, 60, 3), (40, 60, 4), (500, 5)])
def test_a_picture_is_rejected(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 256, shape).astype("u1"))
    with pytest.raises(DataError, match="holds single bytes .uint8., a picture or labels probably"):
        read_cloud(tmp_path / "a.npy")


@pytest.mark.parametrize("turn", [360.0, 2 * np.pi])
def test_angles_and_distances_are_named(tmp_path, turn):
    rng = np.random.default_rng(2)
    angles = turn * np.column_stack([rng.uniform(-0.5, 0.5, 3000), rng.uniform(-0.07, 0.01, 3000)])
    np.save(tmp_path / "a.npy", np.column_stack([angles, rng.uniform(2, 60, 3000), rng.random(3000)]))
    assert [note.kind for note in read_cloud(tmp_path / "a.npy").notes][-1] == "angles instead of coordinates"


def test_arrays_of_an_archive_are_found_under_the_names_of_point_cloud_libraries(tmp_path):
    rows = street(500)
    np.savez(tmp_path / "a.npz", coord=rows[:, :3], strength=rows[:, 3:], segment=np.zeros((500, 1), int))
    np.testing.assert_allclose(read_cloud(tmp_path / "a.npz").scan.intensity, rows[:, 3], rtol=1e-6)
