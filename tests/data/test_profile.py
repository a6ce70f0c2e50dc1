"""Scans from elsewhere are compared with those that a network was trained on."""

import dataclasses
import tracemalloc

import numpy as np
import pytest

from topokd.data import Scan
from topokd.data.formats import read_cloud
from topokd.data.profile import ScanProfile, describe
from topokd.errors import DataError


def scan(seed=0, beams=64, height=1.7, turn=np.pi):
    """A spinning sensor over a road within walls, 40 m wide."""
    elevation, azimuth = np.meshgrid(np.radians(np.linspace(-25, 3, beams)), np.linspace(-turn, turn, 400))
    noise = np.random.default_rng(seed).normal(1, 0.01, elevation.shape)
    with np.errstate(divide="ignore"):
        distance = np.where(elevation < 0, height / -np.tan(elevation), np.inf)
    distance = (np.minimum(distance, 20) * noise).ravel()
    around, up = azimuth.ravel(), np.tan(elevation.ravel()) * distance
    xyz = np.column_stack([distance * np.cos(around), distance * np.sin(around), up])
    return Scan(xyz, np.clip(np.random.default_rng(seed).normal(0.3, 0.1, len(xyz)), 0, 1))


@pytest.fixture(scope="module")
def profile():
    return ScanProfile.of(scan(seed) for seed in range(5))


def kinds(profile, other):
    return [note.kind.removesuffix(" unlike in training") for note in profile.differences(describe(other))]


def test_a_scan_like_those_of_training_is_not_mentioned(profile):
    assert not kinds(profile, scan(9))
    assert ScanProfile.from_json(profile.to_json()) == profile


def test_height_beams_field_of_view_and_brightness_are_compared(profile):
    assert kinds(profile, scan(9, height=2.6)) == ["height of the ground"]
    assert "number of points" in kinds(profile, scan(9, beams=32))
    assert kinds(profile, scan(9, beams=16)) == ["number of points", "rows of points over the height"]
    assert "share of the full turn that has points" in kinds(profile, scan(9, turn=np.pi / 3))
    dark = dataclasses.replace(scan(9), intensity=scan(9).intensity / 255)
    assert set(kinds(profile, dark)) == {"intensities"}
    inverted = dataclasses.replace(scan(9), intensity=1 - scan(9).intensity)
    (note,) = profile.differences(describe(inverted))
    assert "bright points stored as small values" in str(note)
    assert not kinds(profile, dataclasses.replace(scan(9), intensity=(1.5 * scan(9).intensity).clip(0, 1)))
    moved = dataclasses.replace(scan(9), xyz=scan(9).xyz + np.float32([60, 0, 0]))
    assert "distance of the nearest points from the origin" in kinds(profile, moved)


def test_axes_of_a_sensor_with_a_narrow_view(profile):
    narrow = ScanProfile.of(scan(seed, turn=np.pi / 3) for seed in range(3))
    turned = scan(9, turn=np.pi / 3)
    turned = dataclasses.replace(turned, xyz=turned.xyz[:, [1, 0, 2]])
    (note,) = [n for n in narrow.differences(describe(turned)) if "field of view" in n.kind]
    assert "90 degrees" in str(note) and "--frame" in str(note)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"low": {"a": 1}, "high": {}, "scans": 1}', '{"low": 3}'])
def test_a_damaged_description_is_rejected(text):
    with pytest.raises(DataError, match="description of training scans"):
        ScanProfile.from_json(text)


def test_real_scans_from_elsewhere_are_named(real_scans, shared):
    """Beams of a real sensor blur in a histogram of elevations: half of them leaves as many rows, but not points."""
    scans = {}
    for file in sorted(real_scans.glob("sequences/0[0-8]/velodyne/000000.bin")):
        rows = np.fromfile(file, "<f4").reshape(-1, 4)
        scans[file.parts[-3]] = Scan(rows[:, :3], rows[:, 3])
    other = scans.pop("08")
    profile = ScanProfile.of(scans.values())
    assert not kinds(profile, other)
    half = np.arange(len(other)) % 2 == 0
    assert kinds(profile, Scan(other.xyz[half], other.intensity[half])) == ["number of points"]
    for shift, kind in (
        ((0, 0, 1.73), "height of the ground"),
        ((40, 0, 0), "distance of the nearest points from the"),
    ):
        moved = dataclasses.replace(other, xyz=other.xyz + np.float32(shift))
        assert any(named.startswith(kind) for named in kinds(profile, moved)), shift
    (file,) = (shared / "data" / "nuscenes-one-scan").glob("*.pcd.bin")
    named = kinds(profile, read_cloud(file, log_notes=False).scan)
    assert {"number of points", "intensities"} <= set(named)


def test_a_scan_that_is_upside_down_is_told_apart_from_another_height(profile):
    turned, higher = scan(), scan()
    turned.xyz[:, 1:] *= -1
    higher.xyz[:, 2] += 1.7
    said = [str(note) for note in profile.differences(describe(turned)) if note.kind.startswith("height")]
    assert len(said) == 1 and "z seems to point down (--frame x,-y,-z" in said[0]
    said = [str(note) for note in profile.differences(describe(higher)) if note.kind.startswith("height")]
    assert len(said) == 1 and "is the origin at the sensor" in said[0]


@pytest.mark.parametrize("scans", ["1.5", "-3", '"4"'])
def test_an_impossible_number_of_training_scans_is_rejected(profile, scans):
    text = profile.to_json().replace(f'"scans": {profile.scans}', f'"scans": {scans}')
    with pytest.raises(DataError, match="the number of scans is"):
        ScanProfile.from_json(text)


def test_points_kilometres_below_the_others_take_no_memory():
    """Layers of 0.1 m were counted all the way down."""
    xyz = np.zeros((1000, 3))
    xyz[:, 2] = np.linspace(-1e6, 1, 1000)
    tracemalloc.start()
    try:
        assert np.isfinite(describe(Scan(xyz + np.array([5.0, 0, 0]), np.zeros(1000)))["ground"])
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
