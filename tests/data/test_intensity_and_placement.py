"""Which field is the intensity, on which scale, and where the sensor is."""

import numpy as np
import pytest

from tests.data.scans import fields, kinds, saved, street
from topokd.data.formats import read_cloud
from topokd.errors import DataError


@pytest.mark.parametrize(
    ("high", "scale"), [(1.0, 1), (1.5, 255), (255.0, 255), (256.0, 1023), (3000.0, 4095), (5000.0, 65535)]
)
def test_scale_is_the_smallest_that_holds_them_all(tmp_path, high, scale):
    path = tmp_path / "a.npy"
    np.save(path, np.array([[1, 2, 3, 0], [1, 2, 4, high]], np.float32))
    assert read_cloud(path).scale == scale and read_cloud(path, intensity_scale=1e4).scale == 1e4


def test_coordinates_of_a_map_keep_their_millimetres(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([[500_000.001, 5_000_000, 100, 0], [500_000.004, 5_000_000, 100, 0]]))
    cloud = read_cloud(path)
    assert cloud.scan.xyz[1, 0] - cloud.scan.xyz[0, 0] == pytest.approx(0.003, abs=1e-6)
    assert cloud.xyz[0, 0] == 500_000.001


def test_without_intensities_they_are_zero(tmp_path, caplog):
    np.save(tmp_path / "a.npy", np.ones((2, 3)))
    assert read_cloud(tmp_path / "a.npy").scan.intensity.tolist() == [0, 0]
    assert "no intensities" in caplog.text


def test_calibrated_reflectivity_comes_before_a_signal_and_decibels_are_passed_over(tmp_path):
    share = street()[:, 3]
    both = fields(tmp_path / "a.npy", intensity=3000 * share, reflectivity=np.round(255 * share).astype(np.uint8))
    cloud = read_cloud(both)
    assert cloud.field == "reflectivity" and np.abs(cloud.scan.intensity - share).max() < 0.003
    assert read_cloud(both, intensity="intensity", intensity_scale=3000).field == "intensity"
    decibels = fields(tmp_path / "b.npy", Reflectance=-20 * share, scalar_Intensity=share)
    assert read_cloud(decibels).field == "intensity" and "goes down to" in str(read_cloud(decibels).notes[0])
    only = fields(tmp_path / "c.npy", Reflectance=-20 * share)
    with pytest.raises(DataError, match=r"decibels.*--intensity none"):
        read_cloud(only)
    assert read_cloud(only, intensity="none").field is None


@pytest.mark.parametrize(
    ("scale", "whole", "kept", "noted"),
    [(1, False, 1, False), (100, True, 255, True), (255, True, 255, False), (1023, True, 1023, True),
     (4095, True, 4095, True), (65535, True, 65535, True)],
)  # fmt: skip
def test_a_guessed_scale_is_right_or_named(tmp_path, scale, whole, kept, noted):
    rows = street()
    rows[:, 3] = np.round(scale * rows[:, 3] / rows[:, 3].max()) if whole else rows[:, 3]
    cloud = read_cloud(saved(tmp_path / "a.bin", rows))
    assert cloud.scale == kept and bool(cloud.notes) == noted


def test_one_reflector_does_not_darken_the_scan(tmp_path):
    rows = street()
    rows[7, 3] = 1.4
    cloud = read_cloud(saved(tmp_path / "a.bin", rows))
    assert cloud.scale == 1 and cloud.scan.intensity.max() == 1 and kinds(cloud) == ["intensities above the scale"]
    assert np.median(cloud.scan.intensity) == np.median(rows[:, 3])


def test_stray_points_do_not_move_the_others(tmp_path):
    rows = street()
    for distance in (5e3, 2e4, 1e9):
        rows[0, 0] = distance
        cloud = read_cloud(saved(tmp_path / "a.bin", rows))
        assert not cloud.finite[0] and cloud.finite[1:].all() and "stray points" in kinds(cloud)
        np.testing.assert_array_equal(cloud.scan.xyz, rows[1:, :3])


def test_fillers_without_a_return_get_no_class(tmp_path):
    rows = street()
    for filler in ((0, 0, 0), (12.5, -3.25, 0.5)):  # zeros, and zeros after the file was moved
        rows[::10, :3] = filler
        cloud = read_cloud(saved(tmp_path / "a.bin", rows))
        assert not cloud.finite[::10].any() and cloud.finite.sum() == 2700


@pytest.mark.parametrize("shift", [(60, 0, 0), (-400, 900, 20), (7000, 2000, 100)])
def test_an_origin_away_from_the_sensor_is_noted(tmp_path, shift, caplog):
    rows = street()
    rows[:, :3] += np.array(shift, np.float32)
    path = saved(tmp_path / "a.bin", rows)
    assert "the origin is not at the sensor" in kinds(read_cloud(path)) and "--origin" in caplog.text
    placed = read_cloud(path, origin=shift)
    assert not placed.notes and np.abs(placed.scan.xyz - street()[:, :3]).max() < 1e-3


def test_axes_and_units_are_measured_and_can_be_given(tmp_path):
    rows = street()
    camera = rows[:, [1, 2, 0, 3]] * np.float32([-1, -1, 1, 1])  # x right, y down, z forward
    path = saved(tmp_path / "a.bin", camera)
    assert "z does not point up" in kinds(read_cloud(path))
    np.testing.assert_array_equal(read_cloud(path, frame="z,-x,-y").scan.xyz, rows[:, :3])
    rows[:, :3] *= 1000
    assert "unit of coordinates" in kinds(read_cloud(saved(tmp_path / "b.bin", rows)))
    assert not read_cloud(tmp_path / "b.bin", scale=0.001).notes


def test_coordinates_of_a_map_in_float32_are_named_and_those_in_float64_are_not(tmp_path):
    rows = street().astype(np.float64)
    rows[:, :3] += (500_000, 5_000_000, 100)
    for dtype, noted in (("f4", True), ("f8", False)):
        np.save(tmp_path / f"{dtype}.npy", rows.astype(dtype))
        cloud = read_cloud(tmp_path / f"{dtype}.npy")
        assert ("coordinates rounded to float32" in kinds(cloud)) == noted
    assert "separates them by 0.5 m" in str(read_cloud(tmp_path / "f4.npy").notes)


def test_a_ring_of_fillers_in_the_sensor_gets_no_class_and_a_corner_of_a_tile_does(tmp_path):
    """At range 0 a laser that is 3 cm off the axis gives points 3 cm from the origin."""
    rows = street()
    rng = np.random.default_rng(1)
    angle, ring = rng.uniform(-np.pi, np.pi, 600), rng.choice(3000, 600, replace=False)
    rows[ring, :3] = 0.03 * np.column_stack([np.cos(angle), np.sin(angle), np.full(600, 0.2)])
    cloud = read_cloud(saved(tmp_path / "a.bin", rows))
    assert not cloud.finite[ring].any() and cloud.finite.sum() == 2400 and "points without a return" in kinds(cloud)
    tile = street()
    tile[:, :3] -= tile[:, :3].min(0) - 0.01
    tile[:5, :3] = np.random.default_rng(2).uniform(0.01, 0.02, (5, 3))
    assert read_cloud(saved(tmp_path / "b.bin", tile)).finite.all()


def test_one_intensity_everywhere_is_named(tmp_path):
    rows = street()
    rows[:, 3] = 1
    assert "all intensities are equal" in kinds(read_cloud(saved(tmp_path / "a.bin", rows)))


@pytest.mark.parametrize(("factor", "scale"), [(1e-4, None), (1.0, 65535.0)])
def test_intensities_far_below_their_scale_are_mentioned(tmp_path, factor, scale):
    rows = street()
    rows[:, 3] *= factor
    cloud = read_cloud(saved(tmp_path / "a.bin", rows), intensity_scale=scale)
    assert "intensities far below the scale" in kinds(cloud)


def test_fillers_in_one_far_place_get_no_class_however_few(tmp_path):
    """-999 for "no return", in fewer than a hundredth of the points."""
    rows = street(5000)
    rows[::300, :3] = -999
    cloud = read_cloud(saved(tmp_path / "a.bin", rows))
    assert "stray points" in kinds(cloud) and not cloud.finite[::300].any() and cloud.finite.sum() == 5000 - 17
    rows[::300, :3] = np.random.default_rng(0).uniform(150, 200, (17, 3))  # far, but not one place
    assert read_cloud(saved(tmp_path / "b.bin", rows)).finite.all()


def test_most_points_in_the_sensor_do_not_hide_one_another(tmp_path):
    rows = street(5000)
    noise = np.random.default_rng(1).random(5000) < 0.6
    rows[noise, :3] = np.random.default_rng(2).normal(0, 1e-3, (int(noise.sum()), 3))
    cloud = read_cloud(saved(tmp_path / "a.bin", rows))
    assert (cloud.finite == ~noise).all() and "points without a return" in kinds(cloud)
