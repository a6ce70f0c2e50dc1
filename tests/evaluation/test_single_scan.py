from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from topokd.cli import app
from topokd.data import Scan
from topokd.data.layout import class_of_raw
from topokd.errors import DataError, ParameterError
from topokd.evaluation import predict
from topokd.evaluation.single_scan import label_file
from topokd.models import PointTransformerV3, build_model, save_checkpoint


@pytest.fixture
def points(tmp_path: Path) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.random((400, 4), dtype=np.float32) * np.float32([6, 6, 1, 1])
    values.tofile(tmp_path / "scan.bin")
    return values


def network(folder: Path, classes: int) -> PointTransformerV3:
    torch.manual_seed(0)
    model = build_model("ptv3-tiny", num_classes=classes)
    save_checkpoint(folder / "net.safetensors", model)
    return model


def test_labels_of_a_file_are_those_of_predict(tmp_path: Path, points: np.ndarray) -> None:
    model = network(tmp_path, 19)
    expected = predict(model, Scan(points[:, :3].copy(), points[:, 3].copy()), 0.2)
    arguments = ["scan.bin", "net.safetensors", "out.npy", "--voxel-size", "0.2", "--repeats", "2"]
    told = CliRunner().invoke(
        app, ["predict", *(str(tmp_path / a) if "." in a and a != "0.2" else a for a in arguments)]
    )
    assert told.exit_code == 0, told.output
    assert "latency" in told.output and "peak memory" in told.output and "400" in told.output
    assert (np.load(tmp_path / "out.npy") == expected).all() and len(set(expected)) > 1
    label_file(tmp_path / "scan.bin", tmp_path / "net.safetensors", tmp_path / "out.label", 0.2)
    assert (class_of_raw(np.fromfile(tmp_path / "out.label", np.uint32)) == expected).all()


def test_bad_files_are_named(tmp_path: Path, points: np.ndarray) -> None:
    network(tmp_path, 5)
    with pytest.raises(ParameterError, match=r"out\.label.*5 classes"):
        label_file(tmp_path / "scan.bin", tmp_path / "net.safetensors", tmp_path / "out.label", 0.2)
    with pytest.raises(ParameterError, match=r"out\.csv.*\.npy"):
        label_file(tmp_path / "scan.bin", tmp_path / "net.safetensors", tmp_path / "out.csv", 0.2)
    (tmp_path / "cut.bin").write_bytes(b"123")
    with pytest.raises(DataError, match=r"cut\.bin has 3 bytes"):
        label_file(tmp_path / "cut.bin", tmp_path / "net.safetensors", tmp_path / "out.npy", 0.2)
