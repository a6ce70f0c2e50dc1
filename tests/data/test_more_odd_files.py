"""Fillers that hid the measurements, names of fields, flags of points, and files of other kinds."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.scans import fields, kinds, saved, street
from topokd.data.formats import read_cloud
from topokd.errors import DataError

FILLERS = [65535.0, 1e6, 1e10, (10000, 0, 0), -9999.0, 3.4e38]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
@pytest.mark.parametrize("filler", FILLERS, ids=str)
def test_far_fillers_get_no_class_however_many(tmp_path, filler, share):
    """With a tenth and more of them, the measurements seemed to lie in the sensor and were left out instead."""
    rows, empty = street(), np.random.default_rng(1).random(3000) < share
    rows[empty, :3] = filler
    cloud = read_cloud(saved(tmp_path / "a.bin", rows), columns=4, dtype="float32")
    np.testing.assert_array_equal(cloud.finite, ~empty)
    np.testing.assert_array_equal(read_cloud(tmp_path / "a.bin").finite, ~empty)  # and recognised


@pytest.mark.parametrize("distance", [120.0, 1000.0])
@pytest.mark.parametrize("share", [0.02, 0.7])
def test_points_at_the_maximum_range_of_a_simulator_get_no_class(tmp_path, share, distance):
    rows, empty = street(), np.random.default_rng(1).random(3000) < share
    rows[empty, :3] *= distance / np.linalg.norm(rows[empty, :3], axis=1, keepdims=True)
    np.testing.assert_array_equal(read_cloud(saved(tmp_path / "a.bin", rows)).finite, ~empty)


def test_the_last_ring_on_flat_ground_and_a_ball_are_measurements(tmp_path):
    angle = np.linspace(0, 2 * np.pi, 3000)
    rings = np.repeat([5.0, 10.0, 20.0], 1000)
    ground = np.column_stack([rings * np.cos(angle), rings * np.sin(angle), np.full(3000, -1.7), np.full(3000, 0.5)])
    assert read_cloud(saved(tmp_path / "a.bin", ground)).finite.all()
    slope = np.radians(10)
    turned = ground @ np.array(
        [[np.cos(slope), 0, np.sin(slope), 0], [0, 1, 0, 0], [-np.sin(slope), 0, np.cos(slope), 0], [0, 0, 0, 1]]
    )
    assert read_cloud(saved(tmp_path / "c.bin", turned)).finite.all()
    ball = street()
    ball[:, :3] *= 10 / np.linalg.norm(ball[:, :3], axis=1, keepdims=True)
    assert read_cloud(saved(tmp_path / "b.bin", ball)).finite.all()


def test_a_maximum_range_just_above_the_horizon_is_a_filler_too(tmp_path):
    """64 beams of a roof sensor that end 2 degrees above the horizon, over open ground."""
    up, around = np.meshgrid(np.radians(np.linspace(-24, 2, 64)), np.linspace(-np.pi, np.pi, 360, endpoint=False))
    distance = np.where(up < 0, np.minimum(120.0, 1.7 / np.sin(np.abs(up) + 1e-9)), 120.0).ravel()
    directions = np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], -1).reshape(-1, 3)
    xyz = directions * distance[:, None]
    cloud = read_cloud(saved(tmp_path / "a.bin", np.column_stack([xyz, np.full(len(xyz), 0.5)])))
    np.testing.assert_array_equal(cloud.finite, distance < 120)


def test_points_on_the_axis_of_the_sensor_get_no_class(tmp_path):
    rows, empty = street(), np.random.default_rng(1).random(3000) < 0.3
    rows[empty, :2] = 0
    np.testing.assert_array_equal(read_cloud(saved(tmp_path / "a.bin", rows)).finite, ~empty)


@pytest.mark.parametrize("layout", [0, 3, 6])
def test_points_that_are_marked_as_withheld_get_no_class(tmp_path, layout):
    laspy = pytest.importorskip("laspy")
    las = laspy.create(point_format=layout, file_version="1.4")
    las.header.scales = [0.001] * 3
    las.x, las.y, las.z = street()[:, :3].T.astype(float)
    las.withheld = np.arange(3000) % 3 == 0
    las.write(str(tmp_path / "a.las"))
    cloud = read_cloud(tmp_path / "a.las")
    np.testing.assert_array_equal(cloud.finite, np.arange(3000) % 3 > 0)
    assert "withheld points" in kinds(cloud) and len(cloud.xyz) == 3000
    las.withheld = np.ones(3000, bool)
    las.write(str(tmp_path / "b.las"))
    with pytest.raises(DataError, match="all of its points with a return are marked as withheld or noise"):
        read_cloud(tmp_path / "b.las")


@pytest.mark.parametrize(("layout", "noise"), [(3, 7), (6, 7), (6, 18)])
def test_points_that_are_classified_as_noise_get_no_class(tmp_path, layout, noise):
    laspy = pytest.importorskip("laspy")
    las = laspy.create(point_format=layout, file_version="1.4")
    las.header.scales = [0.001] * 3
    las.x, las.y, las.z = street()[:, :3].T.astype(float)
    las.classification = np.where(np.arange(3000) % 3 == 0, noise, 2)
    las.write(str(tmp_path / "a.las"))
    cloud = read_cloud(tmp_path / "a.las")
    np.testing.assert_array_equal(cloud.finite, np.arange(3000) % 3 > 0)
    assert "noise points" in kinds(cloud)


def test_a_filler_in_a_scan_of_few_points_gets_no_class(tmp_path):
    """Neither (0, 0, 0) nor farther than the others."""
    rows = street(300)
    rows[::6, :3] = -9.99
    np.testing.assert_array_equal(read_cloud(saved(tmp_path / "a.bin", rows)).finite, np.arange(300) % 6 > 0)


@pytest.mark.parametrize("step", [1.0, 0.5])
def test_coordinates_that_were_rounded_are_no_fillers(tmp_path, step):
    """Near the sensor each place then has many points."""
    rows = street(20_000)
    rows[:, :3] = step * np.round(rows[:, :3] * 0.3 / step)
    rows = rows[rows[:, :2].any(axis=1)]
    cloud = read_cloud(saved(tmp_path / "a.bin", rows), columns=4)
    assert cloud.finite.all() and ("coordinates in whole numbers" in kinds(cloud)) == (step == 1)


@pytest.mark.parametrize("name", ["lidar_intensity", "pcloud_attr.reflectance", "remissions", "Intensity_#1"])
def test_a_field_with_intensities_in_its_name_is_used_and_said(tmp_path, name):
    bright = street()[:, 3]
    cloud = read_cloud(fields(tmp_path / "a.npy", **{name: bright, "ring": np.arange(3000) % 32}))
    np.testing.assert_array_equal(cloud.scan.intensity, bright)
    assert f"{name.lower()} is used" in kinds(cloud)


def test_two_such_fields_are_not_guessed_between(tmp_path):
    bright = street()[:, 3]
    cloud = read_cloud(fields(tmp_path / "a.npy", raw_intensity=bright, intensity_corrected=bright))
    assert cloud.field is None and "no intensities" in kinds(cloud)


@pytest.mark.parametrize("dtype", ["i1", "i2"])
def test_intensities_that_lost_their_upper_half_are_named(tmp_path, dtype):
    bright = (street()[:, 3] * np.iinfo(dtype).max * 2).astype(dtype.replace("i", "u")).view(dtype)
    with pytest.raises(DataError, match=f"lost it when they were stored as {np.dtype(dtype)}"):
        read_cloud(fields(tmp_path / "a.npy", reflectance=bright))


@pytest.mark.parametrize("records", [False, True])
def test_coordinates_that_lost_their_sign_are_rejected_with_the_remedy(tmp_path, records):
    rows = (street()[:, :3] * 100).astype("i2")
    if records:
        values = np.empty(3000, [(axis, "u2") for axis in "xyz"])
        for k, axis in enumerate("xyz"):
            values[axis] = rows[:, k].view("u2")
    np.save(tmp_path / "a.npy", values if records else rows.view("u2"))
    with pytest.raises(DataError, match=r"x is stored as uint16.* negative ones lost their sign.*view\('int16'\)"):
        read_cloud(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", (rows - rows.min(0)).astype("u2"))  # never negative: an offset was added
    assert len(read_cloud(tmp_path / "b.npy", scale=0.01).scan) == 3000


def test_arrays_of_another_form_are_named(tmp_path):
    for name, array, words in (
        ("flat", street().ravel(), r"of shape \(12000,\); .*x.reshape\(-1, 4\)"),
        (
            "image",
            np.abs(street()[:2048, 0]).reshape(32, 64),
            r"\(32, 64\), 64 values per point: if it is an image of ran",
        ),
        ("dates", np.zeros(3000, [("x", "M8[ns]"), ("y", "f4"), ("z", "f4")]), r"x holds datetime64\[ns\] values"),
    ):
        np.save(tmp_path / f"{name}.npy", array)
        with pytest.raises(DataError, match=words):
            read_cloud(tmp_path / f"{name}.npy")
    np.save(tmp_path / "wide.npy", np.column_stack([street(), np.zeros((3000, 16))]))
    assert len(read_cloud(tmp_path / "wide.npy", columns=20).scan) == 3000


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("unit", [1.0, np.pi / 180], ids=["degrees", "radians"])
def test_angles_and_a_distance_in_any_order_are_named(tmp_path, order, unit):
    xyz = street()[:, :3].astype(float)
    distance = np.linalg.norm(xyz, axis=1)
    angles = np.degrees([np.arctan2(xyz[:, 1], xyz[:, 0]), np.arcsin(xyz[:, 2] / distance)]) * unit
    columns = np.column_stack([*angles, distance])[:, order]
    np.save(tmp_path / "a.npy", np.column_stack([columns, street()[:, 3]]))
    assert "angles instead of coordinates" in kinds(read_cloud(tmp_path / "a.npy"))


PLY = "ply\nformat ascii 1.0\nelement {name} 3000\nproperty float x\nproperty float y\nproperty float z\nend_header\n"


def lines(separator=" ", point="."):
    return "\n".join(separator.join(f"{value:.3f}" for value in row[:3]) for row in street()).replace(".", point)


def test_a_ply_file_from_windows_is_read_and_commas_are_named(tmp_path):
    (tmp_path / "a.ply").write_text(PLY.format(name="Vertex") + lines().replace(lines().split()[0], "-1.#IND", 1))
    assert read_cloud(tmp_path / "a.ply").finite.sum() == 2999
    (tmp_path / "b.ply").write_text(PLY.format(name="vertex") + lines(point=","))
    with pytest.raises(DataError, match="its points are written with commas"):
        read_cloud(tmp_path / "b.ply")


def test_a_truncated_binary_ply_file_is_not_said_to_hold_commas(tmp_path):
    header = PLY.format(name="point").replace("ascii", "binary_little_endian").encode()
    body = street()[:, :3].astype("<f4").tobytes()
    (tmp_path / "a.ply").write_bytes(header + body)
    assert len(read_cloud(tmp_path / "a.ply").scan) == 3000
    (tmp_path / "a.ply").write_bytes(header + body[:-5000])
    with pytest.raises(DataError, match="early end-of-file"):
        read_cloud(tmp_path / "a.ply")


def test_the_old_name_of_the_fields_of_a_pcd_is_read(tmp_path):
    header = "VERSION .5\nCOLUMNS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS 3000\nDATA ascii\n"
    (tmp_path / "a.pcd").write_text(header + lines())
    assert len(read_cloud(tmp_path / "a.pcd").scan) == 3000


OTHERS = {
    b"PAR1": "a Parquet table", b"ARROW1\0\0": "Argoverse 2", b"SQLite format 3\0": "a ROS 2 bag",
    b"\xd4\xc3\xb2\xa1\x02\0": "a packet capture", b"outs:\n- md5: 0a": "run `dvc pull`",
    b'{"message": "Not Found"}': "an error message of a server", b"\x04\x22\x4d\x18": "packed by lz4",
    b"<Error><Code>AccessDenied</Code>": "the download failed",
    b"\xef\xbb\xbfversion https://git-lfs.github.com": "git lfs pull",
    b"a.bin" + bytes(252) + b"ustar\x0000": "a .tar archive",
}  # fmt: skip


@pytest.mark.parametrize("start", OTHERS, ids=OTHERS.values())
def test_a_file_of_another_kind_is_named(tmp_path, start):
    noise = b"" if start[-1:] in b"}>m" else np.random.default_rng(0).bytes(9000)
    (tmp_path / "a.bin").write_bytes(start + noise)
    with pytest.raises(DataError, match=OTHERS[start]):
        read_cloud(tmp_path / "a.bin")


def test_a_file_whose_line_ends_were_changed_in_transfer_is_named(tmp_path):
    path = saved(tmp_path / "a.bin", street())
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(DataError, match="was changed as if it were text"):
        read_cloud(path)


@pytest.mark.parametrize("empty", [0.0, 5.0, np.nan])
def test_a_preferred_field_without_content_does_not_hide_another(tmp_path, empty):
    bright = street()[:, 3]
    path = fields(tmp_path / "a.npy", reflectivity=np.full(3000, empty, "f4"), intensity=bright)
    cloud = read_cloud(path)
    np.testing.assert_array_equal(cloud.scan.intensity, bright)
    assert "intensity is used, not reflectivity" in kinds(cloud)
    if empty == 5:  # what the user names is used
        assert read_cloud(path, intensity="reflectivity").field == "reflectivity"


def test_reflectors_above_1_do_not_darken_the_others(tmp_path):
    """The scale was taken for 255, which left next to nothing of a reflectivity of 0 to 1."""
    bright = street()[:, 3].copy()
    bright[::50] = 2.5
    cloud = read_cloud(fields(tmp_path / "a.npy", reflectivity=bright))
    assert cloud.scale == 1 and "intensities above the scale" in kinds(cloud)
    np.testing.assert_array_equal(cloud.scan.intensity, np.minimum(bright, 1))


def test_a_mark_for_no_intensity_is_named(tmp_path):
    bright = np.where(np.arange(3000) % 10 == 0, -1, 200)
    with pytest.raises(DataError, match="all -1, which may mark points without a value"):
        read_cloud(fields(tmp_path / "a.npy", intensity=bright))
