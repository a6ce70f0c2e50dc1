"""Scans for the tests of file formats."""

import numpy as np
import pytest

XYZ = np.array([[1.5, -2.0, 0.25], [30.0, 4.0, -1.5], [np.nan, 0.0, 0.0], [-7.0, 8.0, 2.0]], np.float32)
INTENSITY = np.array([0, 51, 102, 255], np.float32)


def write(path, encoding=None):
    """The four points in the format of the suffix, with additional fields."""
    rows = np.column_stack([XYZ, INTENSITY])
    if path.name.endswith(".pcd.bin"):
        np.column_stack([rows, [0, 1, 2, 3]]).astype("<f4").tofile(path)
    elif path.suffix == ".bin":
        rows.astype("<f4").tofile(path)
    elif path.suffix == ".npy":
        np.save(path, rows)
    elif path.suffix == ".pcd":
        pypcd4 = pytest.importorskip("pypcd4")
        columns = [*XYZ.T, INTENSITY, np.arange(4, dtype=np.uint16)]
        types = (np.float32,) * 4 + (np.uint16,)
        pypcd4.PointCloud.from_points(columns, ("x", "y", "z", "Intensity", "ring"), types).save(
            path, encoding or pypcd4.Encoding.BINARY
        )
    elif path.suffix == ".ply":
        plyfile = pytest.importorskip("plyfile")
        fields = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("scalar_Intensity", "f4"), ("red", "u1")]
        vertex = np.array([(*row, 7) for row in rows.tolist()], fields)
        plyfile.PlyData([plyfile.PlyElement.describe(vertex, "vertex")], text=encoding == "ascii").write(str(path))
    else:
        laspy = pytest.importorskip("laspy")
        las = laspy.create(point_format=3)
        las.header.scales = [0.001] * 3
        las.x, las.y, las.z = np.nan_to_num(XYZ).T.astype(float)
        las.intensity = INTENSITY.astype(np.uint16)
        las.write(str(path))
    return path


def street(n=3000, seed=0):
    """Points around a sensor at the origin 1.7 m above a road, with intensities in 0..1."""
    rng = np.random.default_rng(seed)
    angle, distance = rng.uniform(-np.pi, np.pi, n), rng.uniform(3, 40, n)
    z = np.where(rng.random(n) < 0.7, -1.7, rng.uniform(-1.7, 2, n))
    xyz = np.column_stack([distance * np.cos(angle), distance * np.sin(angle), z])
    return np.column_stack([xyz, rng.beta(2, 5, n)]).astype(np.float32)


def saved(path, rows, dtype="<f4"):
    np.asarray(rows).astype(dtype).tofile(path)
    return path


def kinds(cloud):
    return [note.kind for note in cloud.notes]


def fields(path, **columns):
    """Records (x, y, z of the street, and some fields) as .npy."""
    rows = street()
    values = {"x": rows[:, 0], "y": rows[:, 1], "z": rows[:, 2], **columns}
    array = np.empty(3000, [(name, value.dtype) for name, value in values.items()])
    for name, value in values.items():
        array[name] = value
    np.save(path, array)
    return path
