"""User files: equal points from every format, and an error message for every unreadable file."""

import builtins
import bz2
import gzip
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
    path = write(tmp_path / "a.ply")
    import sys

    monkeypatch.setitem(sys.modules, "plyfile", None)
    with pytest.raises(DataError, match=r"plyfile: pip install 'topokd\[data\]'"):
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


@pytest.mark.parametrize(
    ("content", "name"), [("a.ply", "b.bin"), ("a.npy", "b.ply"), ("a.pcd", "b.npy"), ("a.laz", "b.las")]
)
def test_a_file_with_the_suffix_of_another_format_is_read_as_what_it_is(tmp_path, content, name):
    path = write(tmp_path / content)
    expected = read_cloud(path)
    path.rename(tmp_path / name)
    cloud = read_cloud(tmp_path / name)
    np.testing.assert_array_equal(cloud.xyz, expected.xyz)
    named = [f"read as {path.suffix}"] if path.suffix != ".laz" else []  # .las may be packed
    assert kinds(cloud)[: len(named)] == named


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1920000\n", "git lfs pull"),
        (b"<!DOCTYPE html>\n<title>Sign in</title>" + b" " * 90, "a web page"),
        (b"\n<HTML><body>404</body></HTML>" + b" " * 97, "a web page"),
        (gzip.compress(bytes(range(256)) * 40), "packed by gzip"),
        (bz2.compress(bytes(range(256)) * 40), "packed by bzip2"),
        (b"PK\x03\x04" + b"\0" * 92, "is a .zip archive"),
        (b"x y z intensity\n" + b"1.25 -3.5 0.75 0.5\n" * 60, "is a table of text"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 88, "an HDF5 file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_scan_is_called_by_its_name(tmp_path, content, words):
    path = tmp_path / "a.bin"
    path.write_bytes(content + b"\0" * (-len(content) % 16 if words not in ("is a table of text",) else 0))
    with pytest.raises(DataError, match=rf"a\.bin.*{words}"):
        read_cloud(path)


def test_numbers_that_begin_like_a_packed_file_are_numbers(tmp_path):
    """Two bytes of one scan in 65,536 are those of gzip by chance."""
    rows = street()
    rows[0, 0] = np.frombuffer(b"\x1f\x8b\x08\x41", "<f4")[0]
    np.testing.assert_array_equal(read_cloud(saved(tmp_path / "a.bin", rows)).scan.xyz, rows[:, :3])


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


@pytest.mark.invalid_arguments
@pytest.mark.parametrize(
    "options",
    [
        {"scale": "2"}, {"scale": True}, {"scale": None}, {"intensity_scale": "255"}, {"intensity_scale": True},
        {"origin": 5.0}, {"origin": "1,2"}, {"origin": (1.0, 2.0, "z")}, {"columns": True}, {"columns": "xyz"},
        {"columns": 4.0}, {"dtype": 4}, {"frame": None}, {"intensity": 3}, {"scale": np.float64("nan")},
    ],
)  # fmt: skip
def test_options_of_another_type_are_rejected_in_words(tmp_path, options):
    with pytest.raises(DataError, match=r"\(--"):
        read_cloud(_array(tmp_path, street()), **options)


def test_records_whose_coordinates_are_one_field(tmp_path):
    rows = street()
    records = np.zeros(3000, [("XYZ", "f4", 3), ("Intensity", "f4"), ("ring", "u1")])
    records["XYZ"], records["Intensity"] = rows[:, :3], rows[:, 3]
    np.save(tmp_path / "a.npy", records.reshape(30, 100))
    cloud = read_cloud(tmp_path / "a.npy")
    np.testing.assert_array_equal(cloud.scan.xyz, rows[:, :3])
    np.testing.assert_array_equal(cloud.scan.intensity, rows[:, 3])
    np.save(tmp_path / "b.npy", records[["Intensity", "ring"]])
    with pytest.raises(DataError, match=r"b\.npy lacks the field x, y, z; it has intensity, ring"):
        read_cloud(tmp_path / "b.npy")


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


def test_a_pcd_with_the_padding_of_pcl(tmp_path):
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
