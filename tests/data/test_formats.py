"""User files: equal points from every format, and an error message for every unreadable file."""

import builtins
import pickle

import numpy as np
import pytest

from topokd.data.formats import read_cloud
from topokd.errors import DataError

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


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("a.bin", None),
        ("a.pcd.bin", None),
        ("a.npy", None),
        ("a.pcd", "ascii"),
        ("a.pcd", "binary"),
        ("a.pcd", "binary_compressed"),
        ("a.ply", "ascii"),
        ("a.ply", "binary"),
        ("a.las", None),
        ("a.laz", None),
    ],
)
def test_every_format_gives_the_same_points(tmp_path, name, encoding):
    if name.endswith(".pcd"):
        from pypcd4 import Encoding

        encoding = Encoding(encoding)
    cloud = read_cloud(write(tmp_path / name, encoding))
    las = name.endswith(
        ("las", "laz")
    )  # they hold whole numbers of millimetres, and (0, 0, 0) for the point that is NaN
    assert cloud.finite.tolist() == [True, True, False, True] and cloud.scale == 255
    np.testing.assert_allclose(cloud.xyz, np.nan_to_num(XYZ) if las else XYZ, atol=1e-3)
    np.testing.assert_allclose(cloud.scan.intensity, INTENSITY[cloud.finite] / 255, atol=1e-6)


def test_five_columns_are_detected_by_the_ring_or_set_by_the_option(tmp_path):
    rows = np.random.default_rng(0).random((20, 5)).astype("<f4")  # 400 bytes: 4 and 5 columns fit
    path = tmp_path / "a.bin"
    rows.tofile(path)
    assert len(read_cloud(path).xyz) == 25 and len(read_cloud(path, columns=5).xyz) == 20
    rows[:, 3], rows[:, 4] = np.arange(20), np.arange(20)
    rows.tofile(path)
    cloud = read_cloud(path)
    assert len(cloud.xyz) == 20 and cloud.scale == 255


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


def test_a_pickle_is_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (builtins.exec, ("raise SystemExit('unpickled')",))

    np.save(tmp_path / "a.npy", np.array([Bomb()], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"a\.npy holds pickled Python objects"):
        read_cloud(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.bin", b"\0" * 18, "not a multiple of 4 or 5 columns"),
        ("a.bin", b"", "is empty"),
        ("a.npy", b"nonsense", "cannot be read as .npy|pickled"),
        ("a.pcd", b"nonsense", "cannot be read as .pcd"),
        ("a.ply", b"nonsense", "cannot be read as .ply"),
        (
            "a.pcd",
            b"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 1\nHEIGHT 1\n"
            b"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 1\nDATA binary_zstd\n" + b"\0" * 12,
            "cannot be read as .pcd: .*binary_zstd",
        ),
        ("a.pcd", pickle.dumps([1.0]), "cannot be read as .pcd"),
        ("a.ply", pickle.dumps([1.0]), "cannot be read as .ply"),
        ("a.laz", pickle.dumps([1.0]), "cannot be read as .laz"),
        ("a.npy", pickle.dumps([1.0]), "holds pickled Python objects"),
        (
            "a.ply",
            b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n",
            "lacks the field y, z",
        ),
        ("a.ply", b"ply\nformat ascii 1.0\nelement face 1\nproperty float x\nend_header\n1\n", "no element `vertex`"),
        ("a.las", b"nonsense", "cannot be read as .las"),
        ("a.xyz", b"1 2 3", "is not readable; convert"),
        ("a.bin", np.full((2, 4), np.nan, "<f4").tobytes(), "none of its 2 points"),
        ("a.bin", np.array([[1, 2, 3, -1]], "<f4").tobytes(), "goes down to -1"),
        ("a.bin", np.array([[1, 2, 3, 1e6]], "<f4").tobytes(), "goes up to 1e"),
        (
            "a.bin",
            np.array([[1, 2, 3, np.inf]], "<f4").tobytes(),
            "intensity holds NaN or infinity",
        ),
    ],
)
def test_errors_name_the_file_and_the_reason(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        read_cloud(tmp_path / name)
    assert name in str(raised.value)


@pytest.mark.parametrize("array", [np.ones(4), np.ones((2, 2)), np.ones((2, 4), bool)])
def test_an_array_of_the_wrong_shape_or_type_raises(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match="of shape"):
        read_cloud(tmp_path / "a.npy")


def test_truncated_files_and_a_scale_that_is_too_small(tmp_path):
    from pypcd4 import Encoding

    for name, encoding in (
        ("a.pcd", Encoding.BINARY),
        ("b.pcd", Encoding.BINARY_COMPRESSED),
        ("c.las", None),
        ("d.laz", None),
    ):
        path = write(tmp_path / name, encoding)
        path.write_bytes(path.read_bytes()[:-18])  # a whole row of the binary one
        with pytest.raises(DataError, match=name):
            read_cloud(path)
    with pytest.raises(DataError, match="above the scale 1"):
        read_cloud(write(tmp_path / "e.bin"), intensity_scale=1)


def test_a_real_nuscenes_scan_is_known_by_its_columns(shared):
    (path,) = (shared / "data" / "nuscenes-one-scan").glob("*.pcd.bin")
    cloud = read_cloud(path)
    assert len(cloud.xyz) == 34_688 and cloud.finite.all() and cloud.scale == 255 and not cloud.guessed
    assert 0 < cloud.scan.intensity.max() <= 1 and np.linalg.norm(cloud.scan.xyz, axis=1).max() < 120


def test_the_message_for_a_missing_library_says_what_to_install(tmp_path, monkeypatch):
    path = write(tmp_path / "a.pcd")
    import sys

    monkeypatch.setitem(sys.modules, "pypcd4", None)
    with pytest.raises(DataError, match=r"pypcd4: pip install 'topokd\[data\]'"):
        read_cloud(path)


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


@pytest.mark.parametrize(
    ("dtype", "words"), [("<f8", "read as float64"), (">f4", "read as >float32"), (">f8", "read as >float64")]
)
@pytest.mark.parametrize("columns", [3, 4, 5])
def test_the_number_type_of_a_bin_file_is_recognised(tmp_path, dtype, words, columns):
    rows = np.column_stack([street(), np.arange(3000) % 32])[:, :columns]
    cloud = read_cloud(saved(tmp_path / "a.bin", rows, dtype))
    np.testing.assert_allclose(cloud.xyz, rows[:, :3], rtol=1e-6)
    assert words in kinds(cloud)


@pytest.mark.parametrize("order", ["as scanned", "shuffled", "every third without a return"])
@pytest.mark.parametrize("columns", [3, 4, 5, 6, 7])
def test_the_number_of_columns_is_recognised_in_any_order_of_points(tmp_path, order, columns):
    rows = np.column_stack([street(4001), np.arange(4001) % 64, np.linspace(0, 0.1, 4001), np.full(4001, 9.0)])
    rows = rows[:, :columns]
    if order == "shuffled":
        rows = np.random.default_rng(1).permutation(rows)
    elif order != "as scanned":
        rows[::3] = 0
    cloud = read_cloud(saved(tmp_path / "a.bin", rows))
    assert len(cloud.xyz) == 4001 and cloud.finite.all() == (order != "every third without a return")


def test_a_file_without_rows_of_numbers_is_rejected(tmp_path):
    (tmp_path / "a.bin").write_bytes(np.random.default_rng(0).bytes(48_000))
    with pytest.raises(DataError, match=r"a\.bin: its bytes are not plausible as float32, float64"):
        read_cloud(tmp_path / "a.bin")
    path = saved(tmp_path / "b.bin", street()[:, :3])
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DataError, match="rows of 3 columns.*truncated"):
        read_cloud(path)


def test_columns_and_types_that_only_the_user_knows(tmp_path):
    rows = street()
    path = saved(tmp_path / "a.bin", np.column_stack([rows[:, 3], np.zeros(3000), 1000 * rows[:, :3]]), "<i4")
    names = ("intensity", "_", "x", "y", "z")
    cloud = read_cloud(path, names, dtype="int32", scale=0.001, intensity="none")
    assert np.abs(cloud.scan.xyz - rows[:, :3]).max() < 0.002 and not cloud.scan.intensity.any()
    for columns, words in ((("x", "y"), "name x, y and z"), (("x", "y", "z"), "names 3"), (2, "at most 61")):
        with pytest.raises(DataError, match=words):
            read_cloud(saved(tmp_path / "b.npy", rows) if columns == 2 else _array(tmp_path, rows), columns)


def _array(folder, rows):
    np.save(folder / "c.npy", rows)
    return folder / "c.npy"


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "float31"}, {"scale": 0.0}, {"scale": float("nan")}, {"scale": -1.0}, {"frame": "x,y"},
        {"frame": "x,x,z"}, {"frame": "x,y,-z"}, {"origin": (0.0, 1.0)}, {"origin": (0.0, 1.0, float("inf"))},
        {"intensity": "signal"}, {"intensity_scale": float("inf")}, {"intensity_scale": float("nan")}, {"columns": 99},
    ],
)  # fmt: skip
def test_invalid_options_are_rejected(tmp_path, options):
    with pytest.raises(DataError, match="--|option|choose|has no field"):
        read_cloud(_array(tmp_path, street()), **options)


@pytest.mark.parametrize("shape", ["columns", "image", "channels first"])
def test_arrays_of_columns_images_and_channels_first_give_the_same_points(tmp_path, shape):
    rows = street(3072)
    array = {"columns": rows.T, "image": rows.reshape(64, 48, 4), "channels first": rows.T.reshape(4, 64, 48)}[shape]
    np.testing.assert_array_equal(read_cloud(_array(tmp_path, array)).scan.xyz, rows[:, :3])


def test_an_archive_is_read_by_names_and_rejected_if_they_are_ambiguous(tmp_path):
    rows = street()
    np.savez(tmp_path / "a.npz", points=rows[:, :3], intensity=rows[:, 3], labels=np.zeros(3000, int))
    np.testing.assert_array_equal(read_cloud(tmp_path / "a.npz").scan.intensity, rows[:, 3])
    np.savez(tmp_path / "b.npz", one=rows, two=rows)
    with pytest.raises(DataError, match=r"b\.npz holds the arrays one, two"):
        read_cloud(tmp_path / "b.npz")


def test_colours_and_labels_are_not_intensities(tmp_path):
    rows, rng = street(), np.random.default_rng(0)
    colours = read_cloud(_array(tmp_path, np.column_stack([rows[:, :3], rng.integers(0, 256, (3000, 3))])))
    assert not colours.scan.intensity.any() and kinds(colours) == ["colours instead of intensities"]
    labels = read_cloud(_array(tmp_path, np.column_stack([rows[:, :3], rng.integers(0, 20, 3000)])))
    assert "fourth column may be a label" in kinds(labels)


def fields(path, **columns):
    """Records (x, y, z of the street, and some fields) as .npy."""
    rows = street()
    values = {"x": rows[:, 0], "y": rows[:, 1], "z": rows[:, 2], **columns}
    array = np.empty(3000, [(name, value.dtype) for name, value in values.items()])
    for name, value in values.items():
        array[name] = value
    np.save(path, array)
    return path


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


@pytest.mark.parametrize(("offset", "value"), [(100, 2**31), (96, 2**31), (94, 60_000), (107, 2**31)])
def test_a_las_header_that_counts_more_than_there_is(tmp_path, offset, value):
    """laspy believes the number of records and would read for hours."""
    path = write(tmp_path / "a.las")
    data = bytearray(path.read_bytes())
    size = 2 if offset == 94 else 4
    data[offset : offset + size] = value.to_bytes(size, "little")
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.las has .* fewer than its header counts"):
        read_cloud(path)
