from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topokd import params
from topokd.data import IGNORE, Scan, augment, collate, crop, training_batch, voxelize
from topokd.datasets import SemanticKITTI
from topokd.errors import DataError


def random_scan(seed: int, n: int = 200, spread: float = 2.0) -> Scan:
    rng = np.random.default_rng(seed)
    xyz = rng.normal(size=(n, 3)) * (spread, spread, spread / 4)
    return Scan(xyz, rng.random(n), rng.integers(-1, 4, n), name=f"random/{seed}")


def slow_voxels(scan: Scan, size: float) -> dict[tuple, list[int]]:
    """Twin: point numbers per voxel index."""
    cells: dict[tuple, list[int]] = {}
    index = np.floor(scan.xyz.astype(np.float64) / size).astype(int)
    for number, cell in enumerate(index - index.min(axis=0)):
        cells.setdefault(tuple(cell.tolist()), []).append(number)
    return dict(sorted(cells.items()))


@given(st.integers(0, 10**6), st.integers(1, 150), st.floats(0.03, 3.0))
@settings(max_examples=40, deadline=None)
def test_voxels_equal_their_slow_twin(seed: int, n: int, size: float) -> None:
    scan = random_scan(seed, n)
    voxels, twin = voxelize(scan, size), slow_voxels(scan, size)
    assert voxels.grid_coord.tolist() == [list(cell) for cell in twin]
    for row, points in enumerate(twin.values()):
        assert voxels.inverse[points].tolist() == [row] * len(points)
        np.testing.assert_allclose(voxels.coord[row], scan.xyz[points].mean(axis=0, dtype=np.float64), atol=1e-6)
        np.testing.assert_allclose(voxels.feat[row, 3], scan.intensity[points].mean(dtype=np.float64), atol=1e-6)
        votes = Counter(label for label in scan.label[points].tolist() if label != IGNORE)
        expected = min(votes, key=lambda c: (-votes[c], c)) if votes else IGNORE
        assert voxels.label[row] == expected
    assert (voxels.feat[:, :3] == voxels.coord).all()


def numpy_voxels(scan: Scan, size: float) -> tuple[np.ndarray, ...]:
    """Twin: means, indices, labels and inverse by NumPy alone, adding in the order of the points."""
    cell = np.floor(scan.xyz.astype(np.float64) / size)
    grid, inverse, count = np.unique(
        (cell - cell.min(axis=0)).astype(np.int64), axis=0, return_inverse=True, return_counts=True
    )
    inverse = inverse.reshape(-1)
    columns = (*scan.xyz.T, scan.intensity)
    feat = (np.stack([np.bincount(inverse, c) for c in columns], axis=1) / count[:, None]).astype(np.float32)
    classes, kept = max(int(scan.label.max()) + 1, 1), scan.label != IGNORE
    votes = np.bincount(inverse[kept] * classes + scan.label[kept], minlength=len(grid) * classes)
    votes = votes.reshape(len(grid), classes)
    return feat, grid, np.where(votes.max(axis=1) > 0, votes.argmax(axis=1), IGNORE), inverse


@given(st.integers(0, 10**6), st.integers(1, 3000), st.sampled_from([0.03, 0.2, 1.5]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_voxels_equal_numpy_bit_for_bit(seed: int, n: int, size: float, strided: bool) -> None:
    scan = random_scan(seed, n, spread=3.0)
    if strided:  # a view of a file's columns, and other orders in memory
        scan = Scan(np.asfortranarray(scan.xyz), np.repeat(scan.intensity, 2)[::2], scan.label)
    voxels = voxelize(scan, size)
    arrays = (voxels.feat, voxels.grid_coord, voxels.label, voxels.inverse)
    for ours, theirs in zip(arrays, numpy_voxels(scan, size), strict=True):
        assert ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("reach", [0.01, 1.0, 300.0, 2e5])  # one digit of the radix sort, and up to five of them
def test_voxels_equal_numpy_at_any_extent(reach: float) -> None:
    rng = np.random.default_rng(int(reach))
    scan = Scan(rng.uniform(-reach, reach, (2000, 3)) * (1, 1, 0.1), rng.random(2000), rng.integers(-1, 4, 2000))
    voxels = voxelize(scan, 0.05 if reach < 1e4 else 3.0)
    arrays = (voxels.feat, voxels.grid_coord, voxels.label, voxels.inverse)
    for ours, theirs in zip(arrays, numpy_voxels(scan, 0.05 if reach < 1e4 else 3.0), strict=True):
        assert ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes()


def test_voxels_of_real_scans_equal_numpy(real_scans: Path) -> None:
    dataset = SemanticKITTI(real_scans, "val")
    for scan, size in zip(dataset, (0.05, 0.05, 0.1, 0.4), strict=True):
        voxels = voxelize(scan, size)
        arrays = (voxels.feat, voxels.grid_coord, voxels.label, voxels.inverse)
        for ours, theirs in zip(arrays, numpy_voxels(scan, size), strict=True):
            assert ours.tobytes() == theirs.tobytes()


def test_an_invalid_voxel_size_raises() -> None:
    for size in (0.0, -1.0, float("nan")):
        with pytest.raises(DataError, match="voxel_size is .*positive"):
            voxelize(random_scan(0), size)


def test_points_map_back_to_their_voxel() -> None:
    scan = random_scan(1)
    voxels = voxelize(scan, 0.2)
    assert (np.abs(voxels.coord[voxels.inverse] - scan.xyz) <= 0.2 + 1e-6).all()
    assert sorted(set(voxels.inverse.tolist())) == list(range(len(voxels)))


def test_order_of_points_does_not_matter() -> None:
    scan = random_scan(2)
    order = np.random.default_rng(0).permutation(len(scan))
    shuffled = voxelize(Scan(scan.xyz[order], scan.intensity[order], scan.label[order]), 0.5)
    voxels = voxelize(scan, 0.5)
    assert (shuffled.grid_coord == voxels.grid_coord).all() and (shuffled.label == voxels.label).all()
    assert (shuffled.inverse == voxels.inverse[order]).all()


def test_one_point_goes_through_everything() -> None:
    scan = Scan(np.array([[3.0, -2.0, 1.0]]), np.array([0.25]), np.array([7]), name="one")
    batch = training_batch([scan], params.Data(crop_voxels=10), seed=0, step=0, batch_size=2)
    assert batch.label.tolist() == [7, 7] and batch.grid_coord.tolist() == [[0, 0, 0]] * 2
    assert batch.offsets.tolist() == [1, 2]


def test_stray_point_far_away_is_named() -> None:
    scan = Scan(np.array([[0.0, 0, 0], [3e37, 3e37, 3e37]]), np.zeros(2), name="08/000001")
    with pytest.raises(DataError, match=r"08/000001 spans .*\(data\.voxel_size, --voxel-size\)"):
        voxelize(scan, 0.05)


def test_crop_keeps_the_nearest_in_order() -> None:
    voxels = voxelize(random_scan(3, 800), 0.2)
    small = crop(voxels, 50, np.random.default_rng(5))
    assert len(small) == 50 and small.inverse is None and small.grid_coord.min(axis=0).tolist() == [0, 0, 0]
    rows = [int(np.flatnonzero((voxels.coord == c).all(axis=1))[0]) for c in small.coord]
    assert rows == sorted(rows)
    inside = np.isin(np.arange(len(voxels)), rows)
    radius = [  # some voxel is the centre: all others are farther from it than those that were kept
        (
            np.linalg.norm(voxels.coord[inside] - c, axis=1).max(),
            np.linalg.norm(voxels.coord[~inside] - c, axis=1).min(),
        )
        for c in small.coord
    ]
    assert any(far <= near + 1e-6 for far, near in radius)


def test_crop_begins_at_a_labelled_voxel() -> None:
    xyz = np.concatenate((np.random.default_rng(0).random((500, 3)), [[100.0, 0, 0]]))
    voxels = voxelize(Scan(xyz, np.zeros(501), np.append(np.full(500, IGNORE), 3)), 0.1)
    assert (crop(voxels, 5, np.random.default_rng(1)).label == 3).any()


def test_a_batch_has_offsets_of_voxels_and_points_and_maps_points_to_voxels() -> None:
    scans = [random_scan(seed, n) for seed, n in ((0, 30), (1, 70), (2, 1))]
    clouds = [voxelize(scan, 0.3) for scan in scans]
    batch = collate(clouds)
    assert len(batch) == 3 and batch.names == ("random/0", "random/1", "random/2")
    assert batch.offsets.tolist() == np.cumsum([len(cloud) for cloud in clouds]).tolist()
    assert batch.point_offsets.tolist() == [30, 100, 101]
    back = batch.coord[batch.inverse].numpy()
    assert (np.abs(back - np.concatenate([scan.xyz for scan in scans])) <= 0.3 + 1e-6).all()
    unlabelled = voxelize(Scan(scans[0].xyz, scans[0].intensity), 0.3)
    assert collate([clouds[0], unlabelled]).label is None
    assert collate([clouds[0], crop(clouds[1], 5, np.random.default_rng(0))]).inverse is None
    with pytest.raises(DataError, match="no clouds"):
        collate([])


def test_augmentation_matches_its_description() -> None:
    scan = random_scan(4, 500)
    only = {"rotation_deg": 0.0, "scale": (1.0, 1.0), "flip": 0.0, "jitter": 0.0}

    def change(seed: int = 0, **settings: object) -> np.ndarray:
        return augment(scan, params.Augment(**(only | settings)), np.random.default_rng(seed)).xyz  # type: ignore[arg-type]

    np.testing.assert_array_equal(change(), scan.xyz)
    np.testing.assert_array_equal(change(flip=1.0), scan.xyz * np.float32([-1, -1, 1]))
    turned = change(rotation_deg=180.0)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(scan.xyz, axis=1), rtol=1e-5)
    np.testing.assert_array_equal(turned[:, 2], scan.xyz[:, 2])
    assert np.abs(turned - scan.xyz).max() > 0.1
    ratios = [float((change(seed, scale=(0.9, 1.1)) / scan.xyz).mean()) for seed in range(30)]
    assert 0.9 <= min(ratios) < 0.95 and 1.05 < max(ratios) <= 1.1
    noise = change(jitter=0.005) - scan.xyz
    assert 0.0045 < noise.std() < 0.0055


def test_a_training_batch_depends_only_on_seed_and_step() -> None:
    scans = [random_scan(seed, 300) for seed in range(5)]
    settings = params.Data(crop_voxels=40)
    run = [training_batch(scans, settings, 3, step, 2) for step in range(6)]
    again = training_batch(scans, settings, 3, 4, 2)
    assert (again.feat == run[4].feat).all() and again.names == run[4].names
    assert not (training_batch(scans, settings, 4, 4, 2).feat.shape == again.feat.shape and
                (training_batch(scans, settings, 4, 4, 2).feat == again.feat).all())  # fmt: skip
    visits = [name for batch in run for name in batch.names]
    assert sorted(visits[:5]) == sorted(visits[5:10]) == [f"random/{seed}" for seed in range(5)]


@pytest.mark.parametrize(
    ("xyz", "size"), [((1.0, 2.0, 3.0), 1e-310), ((-1.0, -2.0, -3.0), 5e-324), ((1.0, 0.0, -1.0), 1e-310)]
)
def test_voxels_too_small_to_be_counted_raise_a_clear_error(xyz: tuple[float, ...], size: float) -> None:
    """Positions in voxels are infinite, and differences of two infinities no number."""
    with pytest.raises(DataError, match="spans .* voxels of"):
        voxelize(Scan(np.array([xyz, xyz]), np.zeros(2)), size)


@given(st.integers(0, 10**6), st.integers(-40, 40), st.sampled_from([np.float32, np.float64]))
@settings(max_examples=30, deadline=None)
def test_voxels_and_crops_do_not_depend_on_the_unit(seed: int, power: int, dtype: type) -> None:
    rng, unit = np.random.default_rng(seed), 2.0**power
    xyz, label = rng.uniform(-9, 9, (200, 3)).astype(np.float32), rng.integers(-1, 5, 200)
    plain = voxelize(Scan(xyz.astype(dtype), np.zeros(200), label), 0.5)
    other = voxelize(Scan((xyz * np.float32(unit)).astype(dtype), np.zeros(200), label), 0.5 * unit)
    for one, two in ((plain, other), *((crop(v, 40, np.random.default_rng(seed)) for v in (plain, other)),)):
        np.testing.assert_array_equal(one.grid_coord, two.grid_coord)
        np.testing.assert_array_equal(one.label, two.label)
        np.testing.assert_array_equal(one.coord * np.float32(unit), two.coord)


@pytest.mark.parametrize("shift", [-4096.0, 64.0, 2.0**18])
def test_voxels_do_not_depend_on_a_shift_by_whole_voxels(shift: float) -> None:
    xyz = np.random.default_rng(3).integers(-500, 500, (300, 3)).astype(np.float32) / 32
    plain, moved = (voxelize(Scan(xyz + np.float32(s), np.zeros(300)), 0.5) for s in (0.0, shift))
    np.testing.assert_array_equal(plain.grid_coord, moved.grid_coord)
    np.testing.assert_array_equal(plain.inverse, moved.inverse)


def test_a_batch_of_chosen_clouds_holds_those_alone() -> None:
    scans, options = [random_scan(seed) for seed in range(4)], params.Data(voxel_size=0.4, crop_voxels=30)
    whole = training_batch(scans, options, seed=0, step=3, batch_size=3)
    chosen = training_batch(scans, options, seed=0, step=3, batch_size=3, clouds=[2])
    assert len(whole) == 3 and len(chosen) == 1
    assert np.array_equal(chosen.feat, whole.feat[whole.offsets[1] :])
    with pytest.raises(DataError, match="no clouds"):  # not the whole batch
        training_batch(scans, options, seed=0, step=3, batch_size=3, clouds=[])
