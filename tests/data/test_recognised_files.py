"""What a file is, from its content: number type, columns, shape, format, and options that only the user knows."""

import bz2
import gzip
import os
import struct

import numpy as np
import pytest

from tests.data.scans import kinds, saved, street, write
from topokd.data.formats import read_cloud
from topokd.errors import DataError


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


def test_columns_and_types_can_be_given_as_options(tmp_path):
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


@pytest.mark.parametrize(("offset", "value"), [(100, 2**31), (96, 2**31), (94, 60_000), (107, 2**31)])
def test_a_las_header_that_counts_too_many_records_is_rejected(tmp_path, offset, value):
    """laspy trusts the number of records and would read for hours."""
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
def test_a_file_that_is_not_a_scan_is_identified(tmp_path, content, words):
    path = tmp_path / "a.bin"
    path.write_bytes(content + b"\0" * (-len(content) % 16 if words not in ("is a table of text",) else 0))
    with pytest.raises(DataError, match=rf"a\.bin.*{words}"):
        read_cloud(path)


def test_numbers_that_begin_like_a_packed_file_are_numbers(tmp_path):
    """Two bytes of one scan in 65,536 are those of gzip by chance."""
    rows = street()
    rows[0, 0] = np.frombuffer(b"\x1f\x8b\x08\x41", "<f4")[0]
    np.testing.assert_array_equal(read_cloud(saved(tmp_path / "a.bin", rows)).scan.xyz, rows[:, :3])


@pytest.mark.invalid_arguments
@pytest.mark.parametrize(
    "options",
    [
        {"scale": "2"}, {"scale": True}, {"scale": None}, {"intensity_scale": "255"}, {"intensity_scale": True},
        {"origin": 5.0}, {"origin": "1,2"}, {"origin": (1.0, 2.0, "z")}, {"columns": True}, {"columns": "xyz"},
        {"columns": 4.0}, {"dtype": 4}, {"frame": None}, {"intensity": 3}, {"scale": np.float64("nan")},
    ],
)  # fmt: skip
def test_options_of_another_type_raise_a_clear_error(tmp_path, options):
    with pytest.raises(DataError, match=r"\(--"):
        read_cloud(_array(tmp_path, street()), **options)


def test_records_whose_coordinates_are_one_field_are_read(tmp_path):
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


@pytest.mark.parametrize("columns", [4, 5])
def test_columns_stored_one_after_another_are_rejected_with_advice(tmp_path, columns):
    rows = np.column_stack([street(4000), np.arange(4000) % 32])[:, :columns]
    with pytest.raises(DataError, match=rf"look like {columns} columns one after another.*reshape\({columns}, -1\)"):
        read_cloud(saved(tmp_path / "a.bin", rows.T))


def test_points_at_infinity_do_not_hide_the_number_type(tmp_path):
    rows = street()
    rows[::7] = np.inf
    cloud = read_cloud(saved(tmp_path / "a.bin", rows))
    assert not cloud.notes and cloud.finite.sum() == np.isfinite(rows).all(1).sum()


@pytest.mark.parametrize("change", ["letters in a comment", "byte order mark", "line ends of an editor", "spaces"])
@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_a_ply_header_that_an_editor_touched_is_read(tmp_path, change, encoding):
    path = write(tmp_path / "a.ply", encoding)
    expected, content = read_cloud(path).xyz, path.read_bytes()
    end = content.index(b"end_header")
    head = content[:end]
    if change == "letters in a comment":
        head = head.replace(b"element vertex", "comment Überführung\nelement vertex".encode("latin-1"))
    elif change == "byte order mark":
        head = b"\xef\xbb\xbf" + head
    else:
        head = head.replace(b"\n", b" \n" if change == "spaces" else b"\r\n")
    path.write_bytes(head + content[end:])
    np.testing.assert_array_equal(read_cloud(path).xyz, expected)


def test_arrays_of_different_lengths_in_an_archive_are_rejected(tmp_path):
    rows = street()
    np.savez(tmp_path / "a.npz", xyz=rows[:, :3], intensity=rows[:10, 3])
    with pytest.raises(DataError, match="intensity has 10 values for the 3000 points of xyz"):
        read_cloud(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", x=rows[:, 0], y=rows[:, 1], z=rows[:5, 2])
    with pytest.raises(DataError, match=r"numbers of values differ \(x 3000, y 3000, z 5\)"):
        read_cloud(tmp_path / "b.npz")


def test_records_without_points_have_no_points(tmp_path):
    np.save(tmp_path / "a.npy", np.empty(0, [("x", "f4"), ("y", "f4"), ("z", "f4")]))
    with pytest.raises(DataError, match=r"a\.npy has no points"):
        read_cloud(tmp_path / "a.npy")


@pytest.mark.parametrize(("make", "words"), [("pipe", "is a pipe or a device"), ("link", "is a broken link")])
def test_pipes_and_broken_links_are_named(tmp_path, make, words):
    path = tmp_path / "a.bin"
    os.mkfifo(path) if make == "pipe" else path.symlink_to("nowhere.bin")
    with pytest.raises(DataError, match=words):
        read_cloud(path)


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (131, struct.pack("<d", 0.0), "scales .0.0, "),
        (147, struct.pack("<d", float("nan")), "scales .*nan"),
        (155, struct.pack("<d", float("inf")), "offsets .inf"),
        (104, b"\x4d", "point format 13; known are 0 to 10"),
    ],
)
def test_a_las_header_with_impossible_values_is_rejected(tmp_path, offset, value, words):
    path = write(tmp_path / "a.las")
    data = bytearray(path.read_bytes())
    data[offset : offset + len(value)] = value
    path.write_bytes(data)
    with pytest.raises(DataError, match=words):
        read_cloud(path)
