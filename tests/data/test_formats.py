"""User files: equal points from every format, and an error message for every unreadable file."""

import builtins
import pickle

import numpy as np
import pytest

from tests.data.scans import INTENSITY, XYZ, write
from topokd.data.formats import read_cloud
from topokd.errors import DataError


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
        ("a.pcd", pickle.dumps([1.0]), r"a\.pcd is a pickle.*not opened"),
        ("a.ply", pickle.dumps({}, 2) + bytes(9), "is a pickle"),
        ("a.bin", pickle.dumps(np.ones(9), 3), "is a pickle"),
        ("a.npy", pickle.dumps([1.0]), "is a pickle"),
        (
            "a.ply",
            b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n",
            "lacks the field y, z",
        ),
        ("a.ply", b"ply\nformat ascii 1.0\nelement face 1\nproperty float x\nend_header\n1\n", "no element `vertex`"),
        ("a.las", b"nonsense", "cannot be read as .las"),
        ("a.xyz", b"1 2 3", "is not readable; convert.*numpy.loadtxt"),
        ("a.bin", b"\x89PNG\r\n\x1a\n" + bytes(99), "is a picture"),
        ("a.bin", b"[" + b"[1.0,2.0,3.0,0.5]," * 99 + b"]", "table of text"),
        ("a.bin", b"\xef\xbb\xbf" + b"1.0 2.0 3.0 0.5\n" * 99, "table of text"),
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


def test_truncated_files_and_a_scale_that_is_too_small_are_rejected(tmp_path):
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
