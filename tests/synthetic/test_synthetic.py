import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topokd import params
from topokd.data import IGNORE
from topokd.data.scan import Scan
from topokd.datasets.semantickitti.files import write_scan
from topokd.datasets.semantickitti.real_statistics import real_statistics
from topokd.datasets.statistics import statistics
from topokd.errors import DataError
from topokd.scans import open_dataset
from topokd.synthetic import SyntheticLidar, write_semantickitti
from topokd.synthetic import semantickitti_writer as writer
from topokd.synthetic.raycast import cast_ground, cast_solids, windows
from topokd.synthetic.scanner import scan_sequence_frame
from topokd.synthetic.sensor import SENSORS, directions
from topokd.synthetic.shapes import BOX, CYLINDER, ELLIPSOID, Pose, Shapes, X, turn

SMALL = params.Synthetic(
    azimuths=48, train_sequences=(0, 3), val_sequences=(8,), scans_per_sequence=2, val_scans_per_sequence=1
)


def fingerprint(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_semantickitti(root, SMALL)
    return root


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SyntheticLidar:
    several = params.Synthetic(azimuths=256, train_sequences=tuple(range(6)), val_sequences=(), scans_per_sequence=2)
    return SyntheticLidar(tmp_path_factory.mktemp("sample"), "train", several)


def test_the_world_is_written_in_the_layout_and_splits_of_semantickitti(world: Path) -> None:
    train = open_dataset(params.Data(synthetic=SMALL), world, "train")
    assert train.names == ["00/000000", "00/000001", "03/000000", "03/000001"]
    assert SyntheticLidar(world, "val", SMALL).names == ["08/000000"]
    assert SyntheticLidar(world, (3,), SMALL).names == ["03/000000", "03/000001"]
    with pytest.raises(DataError, match="no split 'test'"):
        SyntheticLidar(world, "test", SMALL)
    poses = np.loadtxt(world / "sequences/00/poses.txt").reshape(-1, 3, 4)
    assert len(poses) == 2 and 10 < poses[1, 2, 3] < 13  # the camera's z axis points along the street


@pytest.mark.long
def test_two_processes_write_the_same_bytes(world: Path, tmp_path: Path) -> None:
    write_semantickitti(tmp_path, SMALL, jobs=2)
    assert fingerprint(tmp_path) == fingerprint(world)


SCRIPT = """
import sys
from pathlib import Path
from topokd import params
from topokd.synthetic import write_semantickitti

if __name__ == "__main__":  # workers import this file
    world = params.Synthetic(train_sequences=(0, 1), val_sequences=(), scans_per_sequence=500)
    write_semantickitti(Path(sys.argv[1]), world, jobs=2)
"""


@pytest.mark.long
def test_workers_end_with_a_killed_process(tmp_path: Path) -> None:
    script, world = tmp_path / "write.py", tmp_path / "world"
    script.write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, script, world])
    deadline = time.monotonic() + 300
    while not any(world.glob("sequences/*/velodyne/*.bin")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert len(workers) >= 2 and not alive


def test_an_interrupted_call_continues_with_the_missing_scans(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, original = [], writer.write_frame

    def killed(task: tuple) -> None:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(task)
        original(task)

    monkeypatch.setattr(writer, "write_frame", killed)
    with pytest.raises(KeyboardInterrupt):
        write_semantickitti(tmp_path, SMALL)
    assert not json.loads((tmp_path / "manifest.json").read_text())["complete"]
    (tmp_path / "sequences/00/velodyne/.000000-x.bin").write_bytes(b"half")
    again: list[tuple] = []
    monkeypatch.setattr(writer, "write_frame", lambda task: (again.append(task), original(task)))
    write_semantickitti(tmp_path, SMALL)
    assert len(again) == 2 and fingerprint(tmp_path) == fingerprint(world)


@pytest.mark.long
def test_other_parameters_replace_the_scans(world: Path, tmp_path: Path) -> None:
    other = params.Synthetic(azimuths=32, train_sequences=(0,), val_sequences=(), scans_per_sequence=1)
    write_semantickitti(tmp_path, SMALL)
    write_semantickitti(tmp_path, other)
    assert SyntheticLidar(tmp_path, "train", other).names == ["00/000000"]
    assert len(list(tmp_path.rglob("*.bin"))) == 1
    write_semantickitti(tmp_path, SMALL)
    assert {k: v for k, v in fingerprint(tmp_path).items()} == fingerprint(world)


def test_scans_that_topokd_did_not_write_are_never_changed(tmp_path: Path) -> None:
    write_scan(tmp_path, 0, 0, Scan(np.ones((3, 3)), np.zeros(3)))
    with pytest.raises(DataError, match="did not write"):
        write_semantickitti(tmp_path, SMALL)
    assert (tmp_path / "sequences/00/velodyne/000000.bin").stat().st_size == 48


def test_a_sequence_in_both_splits_raises(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="both train_sequences and val_sequences"):
        write_semantickitti(tmp_path, params.Synthetic(train_sequences=(0, 8)))


def test_class_frequencies_are_near_the_real_ones(sample: SyntheticLidar) -> None:
    frequencies, real = statistics(sample)["class_frequency"], real_statistics()["statistics"]["class_frequency"]
    assert all(frequencies[name] > 0 for name in sample.class_names)
    overlap = sum(min(frequencies[name], real[name]) for name in frequencies)
    assert overlap > 0.7
    assert max(frequencies, key=frequencies.__getitem__) == max(real, key=real.__getitem__) == "road"


def test_no_single_number_tells_the_classes_apart(sample: SyntheticLidar) -> None:
    """A classifier on height and intensity alone stays poor: shape and surroundings are needed."""
    scans = [scan for scan in sample]
    height = np.concatenate([scan.xyz[:, 2] for scan in scans])
    shade = np.concatenate([scan.intensity for scan in scans])
    label = np.concatenate([scan.label for scan in scans])
    cell = np.digitize(height, np.arange(-2.5, 3, 0.1)) * 60 + np.digitize(shade, np.arange(0, 1, 0.02))
    kept = label != IGNORE
    votes = np.zeros((cell.max() + 1, 19), int)
    np.add.at(votes, (cell[kept], label[kept]), 1)
    best = votes.argmax(axis=1)[cell[kept]]
    iou = [
        ((best == c) & (label[kept] == c)).sum() / max(((best == c) | (label[kept] == c)).sum(), 1) for c in range(19)
    ]
    assert np.mean(iou) < 0.2  # although it is scored on what it was fitted to


def test_sensors_have_the_published_beams() -> None:
    hdl64, hdl32 = SENSORS["hdl64"], SENSORS["hdl32"]
    assert len(hdl64.elevation_deg) == 64 and (hdl64.elevation_deg[0], hdl64.elevation_deg[-1]) == (2.0, -24.8)
    assert len(hdl32.elevation_deg) == 32 and (hdl32.elevation_deg[0], hdl32.elevation_deg[-1]) == (10.67, -30.67)
    rays, azimuth = directions(hdl64, 128, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(rays, axis=-1), 1)
    assert (np.diff(azimuth, axis=1) < 0).all()


@pytest.mark.parametrize("sensor", ["hdl64", "hdl32"])
def test_a_scan_is_physically_sensible(sensor: str) -> None:
    synthetic = params.Synthetic(sensor=sensor, azimuths=512)
    scan, raw = scan_sequence_frame(synthetic, 1, 2, 4)
    again, _ = scan_sequence_frame(synthetic, 1, 2, 4)
    np.testing.assert_array_equal(scan.xyz, again.xyz)
    distance = np.linalg.norm(scan.xyz, axis=1)
    assert distance.max() <= SENSORS[sensor].max_range and distance.min() > 1
    road = scan.xyz[(scan.label == 8) & (distance < 15)]
    assert abs(np.median(road[:, 2]) + SENSORS[sensor].height) < 0.1
    assert 0.5 < len(scan) / (len(SENSORS[sensor].elevation_deg) * 512) < 1
    vehicles = np.isin(raw, (10, 252, 18, 258, 253))
    assert (scan.instance[vehicles] > 0).all() and (scan.instance[scan.label == 8] == 0).all()


def slow_cast(origin: np.ndarray, ray: np.ndarray, shapes: dict[str, np.ndarray]) -> float:
    """Twin: the first of many small steps along a ray that is inside a solid."""
    t = np.arange(0.05, 30, 0.005)
    points = origin + t[:, None] * ray
    first = np.inf
    for p in range(len(shapes["kind"])):
        q = (points - shapes["centre"][p]) @ shapes["rotation"][p] / shapes["half"][p]
        inside = {
            BOX: np.abs(q).max(axis=1) <= 1,
            CYLINDER: (np.hypot(q[:, 0], q[:, 1]) <= 1) & (np.abs(q[:, 2]) <= 1),
            ELLIPSOID: (q**2).sum(axis=1) <= 1,
        }[int(shapes["kind"][p])]
        if inside.any():
            first = min(first, float(t[inside.argmax()]))
    return first


@given(st.integers(0, 10**6))
@settings(max_examples=6, deadline=None)
def test_ray_casting_equals_its_slow_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = Shapes()
    for kind in (BOX, CYLINDER, ELLIPSOID):
        x, y = rng.choice((-1, 1), 2) * rng.uniform(3, 9, 2)
        place = Pose(float(x), float(y), float(rng.uniform(-2, 1)), float(rng.uniform(0, 6)))
        shapes.add(kind, place, (0, 0, 0), rng.uniform(0.5, 3, 3), 50, 0.5, tilt=turn(X, float(rng.uniform(0, 1))))
    solids, origin = shapes.arrays(), np.zeros(3)
    rays, _ = directions(SENSORS["hdl64"], 64, rng)
    distance, hit, cosine = np.full(rays.shape[:2], 29.0), np.full(rays.shape[:2], -1), np.zeros(rays.shape[:2])
    unit = np.stack(np.meshgrid(*[(-1.0, 1.0)] * 3, indexing="ij"), -1).reshape(8, 3)
    corners = np.einsum("pij,pkj->pki", solids["rotation"], unit * solids["half"][:, None]) + solids["centre"][:, None]
    radius = np.linalg.norm(solids["half"], axis=1)
    window = windows(solids["centre"], radius, corners, np.arcsin(rays[:, 0, 2]), 64)
    names = ("kind", "centre", "half", "rotation", "fill", "density")
    cast_solids(origin, rays, *(solids[name] for name in names), window, 0, distance, hit, cosine)
    checked = np.argwhere(rng.random(distance.shape) < 0.03)
    wrong = 0
    for row, col in checked:
        expected = min(slow_cast(origin, rays[row, col], solids), 29.0)
        wrong += abs(expected - distance[row, col]) > 0.02
    assert wrong <= 1  # a ray that grazes an edge may slip between two steps of the twin
    assert (cosine[hit >= 0] <= 1 + 1e-9).all() and (cosine[hit >= 0] >= 0).all()


def test_rays_hit_flat_ground_at_the_computed_distance() -> None:
    rays, _ = directions(SENSORS["hdl64"], 32, np.random.default_rng(0))
    distance, hit, cosine = np.full(rays.shape[:2], 60.0), np.full(rays.shape[:2], -1), np.zeros(rays.shape[:2])
    height = np.zeros((1400, 1400))
    cast_ground(np.array([0, 0, 1.73]), rays, height, np.array([-70.0, -70.0]), 0.1, distance, hit, cosine)
    expected = np.where(rays[..., 2] < 0, 1.73 / np.maximum(-rays[..., 2], 1e-9), np.inf)
    near = expected < 59
    np.testing.assert_allclose(distance[near], expected[near], rtol=1e-6)
    np.testing.assert_allclose(cosine[near], -rays[..., 2][near], rtol=1e-6)
    assert (hit[~near] == -1).all() or (distance[~near] >= 59).all()
