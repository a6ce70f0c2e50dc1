"""PandaSet's pickles: never executed, read only if they are data frames of numbers, in the sensor's frame."""

from __future__ import annotations

import gzip
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from topokd.cli import app
from topokd.conversion.pandaset import convert_pandaset
from topokd.conversion.pickles import read_data_frame
from topokd.errors import DataError
from topokd.label_maps import MappedDataset, load_label_map


def packed(path: Path, value: Any, protocol: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wb") as stream:
        pickle.dump(value, stream, protocol)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five labelled sequences of two frames, every class in each, and one sequence without labels."""
    root, rng = tmp_path / "PandaSet", np.random.default_rng(0)
    for sequence in (1, 2, 11, 40, 158, 160):
        poses = []
        for frame in range(2):
            turn, place = Rotation.random(random_state=sequence + frame), rng.uniform(-500, 500, 3)
            x, y, z, w = turn.as_quat().tolist()
            position = dict(zip("xyz", place.tolist(), strict=True))
            poses.append({"position": position, "heading": {"w": w, "x": x, "y": y, "z": z}})
            local = np.repeat([[3.0, 20.0, -1.5]], 430, axis=0) + rng.normal(size=(430, 3))  # ahead, to the right
            points = pd.DataFrame(turn.apply(local) + place, columns=list("xyz"))
            points["i"], points["t"], points["d"] = rng.integers(0, 256, 430).astype(float), 1.5e9, np.arange(430) % 2
            order = rng.permutation(430)
            packed(root / f"{sequence:03d}/lidar/{frame:02d}.pkl.gz", points.iloc[order])
            np.save(tmp_path / f"local-{sequence}-{frame}.npy", local[order][points["d"].to_numpy()[order] == 0])
            if sequence != 160:
                classes = pd.DataFrame({"class": np.repeat(np.arange(43), 10)})
                packed(root / f"{sequence:03d}/annotations/semseg/{frame:02d}.pkl.gz", classes)
        (root / f"{sequence:03d}/lidar/poses.json").write_text(json.dumps(poses))
    return root


def test_points_are_around_the_sensor_with_the_classes_of_their_rows(root: Path, tmp_path: Path) -> None:
    counts = convert_pandaset(root, tmp_path / "out")
    assert counts["scans"] == 10 and counts["points"] == 2150
    label_map = load_label_map("pandaset")
    train, val = (MappedDataset(tmp_path / "out", label_map, split) for split in ("train", "val"))
    assert val.names == ["158/000000", "158/000001"] and len(train) == 8
    for name in (*train.names, *val.names):
        sequence, frame = map(int, name.split("/"))
        local = np.load(tmp_path / f"local-{sequence}-{frame}.npy")
        scan = (train if name in train.names else val)[(train if name in train.names else val).names.index(name)]
        np.testing.assert_allclose(scan.xyz, np.column_stack((local[:, 1], -local[:, 0], local[:, 2])), atol=1e-4)
        given = pickle.loads(gzip.decompress((root / f"{sequence:03d}/lidar/{frame:02d}.pkl.gz").read_bytes()))
        given = given[given["d"] == 0]
        np.testing.assert_allclose(scan.intensity, given["i"] / 255, atol=1e-6)
        np.testing.assert_array_equal(scan.label, train.labels.class_of_raw(given.index.to_numpy() // 10))


def test_the_command_converts_and_its_result_passes_the_check(root: Path, tmp_path: Path) -> None:
    command = ["data", "convert", "pandaset", str(root), "-o", str(tmp_path / "out"), "--sensor", "both"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0 and "10 scans, 4,300 points, 97.7 % with a label" in done.output
    done = CliRunner().invoke(app, ["data", "check", str(tmp_path / "out"), "--labels", "pandaset"])
    assert done.exit_code == 0 and "nothing is wrong" in done.output, done.output
    done = CliRunner().invoke(app, [*command, "--distance", "1"])
    assert "remove --distance: it is an option of kitti360" in str(done.exception)
    done = CliRunner().invoke(app, ["data", "convert", "kitti", str(root), "-o", str(tmp_path / "x")])
    assert "choose one of kitti360, pandaset" in str(done.exception)


FRAME = pd.DataFrame({"x": [0.5, -1.5, 2.0], "i": [3, 4, 5], "d": [1, 0, 1], "f": np.float32([1, 2, 3])})


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("frame", [FRAME, FRAME.iloc[::-1], FRAME.set_index(np.array([7, 5, 9])), FRAME[["x"]]])
def test_data_frames_of_every_pickle_protocol_are_read(tmp_path: Path, frame: pd.DataFrame, protocol: int) -> None:
    columns, index = read_data_frame(packed(tmp_path / "a.pkl.gz", frame, protocol))
    assert list(columns) == list(frame) or set(columns) == set(frame)
    for name, values in columns.items():
        np.testing.assert_array_equal(values, frame[name].to_numpy())
    np.testing.assert_array_equal(np.arange(3) if index is None else index, frame.index.to_numpy())


class _State:
    """Pickles as the named class with a given state, as versions of pandas before 1.3 did."""

    def __init__(self, module: str, name: str, state: Any, args: tuple[Any, ...] = ()) -> None:
        self.target, self.state, self.args = (module, name), state, args


def test_data_frames_of_the_pandas_that_wrote_pandaset_are_read(tmp_path: Path) -> None:
    """The layout of pandas 0.25: a manager whose state lists axes, values and places of blocks."""
    values = np.arange(6.0).reshape(2, 3)
    axes = [pd.Index(["x", "y"]), pd.RangeIndex(3)]
    blocks = [{"values": values, "mgr_locs": slice(0, 2, 1)}]
    state = (axes, [values], [axes[0]], {"0.14.1": {"axes": axes, "blocks": blocks}})
    body = pickle.dumps({"_data": "MANAGER", "_typ": "dataframe", "_metadata": [], "STATE": state}, 2)
    opened = pickle.dumps(state, 2)[2:-1]  # without protocol and stop
    manager = b"cpandas.core.internals.managers\nBlockManager\n)\x81" + opened + b"b"
    frame = b"\x80\x02cpandas.core.frame\nDataFrame\n)\x81}U\x05_data" + manager + b"sb."
    assert body
    (tmp_path / "old.pkl").write_bytes(frame)
    columns, index = read_data_frame(tmp_path / "old.pkl")
    np.testing.assert_array_equal([columns["x"], columns["y"]], values)
    assert index is None


class _Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_nothing_in_a_pickle_is_executed(tmp_path: Path, protocol: int) -> None:
    file = packed(tmp_path / "a.pkl.gz", {"frame": FRAME, "and": _Runs(tmp_path / "made")}, protocol)
    with pytest.raises(
        DataError,
        match=r"a\.pkl\.gz was not read: it refers to \w+\.\w+, which is not an array type of NumPy",
    ):
        read_data_frame(file)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps([1, 2]), "does not hold a data frame"),
        (pickle.dumps(FRAME.assign(name="a")), "'O8' where numbers are expected"),
        (pickle.dumps(FRAME)[:-40], "is damaged"),
        (b"\x80\x04\x96" + (1 << 60).to_bytes(8, "little") + b"x.", "is damaged"),  # a byte array of 2^60
        (b"\x80\x04Nr" + b"\xff\xff\xff\xff" + b".", "does not hold a data frame"),  # memory entry 2^32 - 1
        (b"\x80\x04" + b"N0" * 60_000 + b"N.", "more than 100000 instructions"),
        (b"\x1f\x8b" + b"\0" * 30, "truncated or damaged|damaged"),
        (b"", "is damaged"),
    ],
)
def test_files_that_are_not_data_frames_are_rejected(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_data_frame(tmp_path / "a.pkl")


def test_a_file_that_unpacks_to_far_more_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topokd.conversion.pickles.MOST_BYTES", 1 << 16)
    with pytest.raises(DataError, match="unpacks to more than"):
        read_data_frame(packed(tmp_path / "a.pkl.gz", np.zeros(1 << 20)))


def test_random_damage_gives_a_data_error_or_a_data_frame(tmp_path: Path) -> None:
    content, rng = pickle.dumps(FRAME, 4), np.random.default_rng(0)
    for _ in range(400):
        data = bytearray(content)
        for place in rng.integers(len(data), size=rng.integers(1, 5)):
            data[place] = rng.integers(256)
        (tmp_path / "a.pkl").write_bytes(data)
        try:
            columns, _ = read_data_frame(tmp_path / "a.pkl")
            assert all(values.dtype.kind in "fiub" for values in columns.values())
        except DataError as error:
            assert "a.pkl" in str(error)


def test_files_that_do_not_belong_together_are_rejected(root: Path, tmp_path: Path) -> None:
    classes = root / "001/annotations/semseg/00.pkl.gz"
    packed(classes, pd.DataFrame({"class": np.zeros(7, int)}))
    with pytest.raises(DataError, match="7 classes, .* has 430 points"):
        convert_pandaset(root, tmp_path / "out")
    packed(classes, pd.DataFrame({"class": np.zeros(430, int)}, index=np.arange(430) + 5))
    with pytest.raises(DataError, match="other row labels"):
        convert_pandaset(root, tmp_path / "out")
    packed(classes, pd.DataFrame({"klass": np.zeros(430, int)}))
    with pytest.raises(DataError, match="no column class"):
        convert_pandaset(root, tmp_path / "out")
    (root / "001/lidar/poses.json").write_text("[]")
    packed(classes, pd.DataFrame({"class": np.zeros(430, int)}))
    with pytest.raises(DataError, match="frame 0 has no pose"):
        convert_pandaset(root, tmp_path / "out")
