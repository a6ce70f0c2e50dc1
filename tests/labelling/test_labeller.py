"""What a trained network needs to label scans: classes, intensities, precision, cost."""

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.labelling.conftest import Recorder
from topokd.cli import app
from topokd.data.formats import read_cloud
from topokd.data.profile import ScanProfile
from topokd.errors import CheckpointError, DataError, ParameterError
from topokd.labelling import Classes, Labeller, predict_files
from topokd.models import build_model, save_checkpoint
from topokd.predict_cost import measure_file


def test_the_cost_of_a_scan_is_that_of_reading_to_classes(checkpoint, scans):
    labeller = Recorder(checkpoint, device="cpu")
    cost = measure_file(labeller, scans / "sub/000000.bin", 3)
    assert labeller.names == ["000000.bin"] * 5  # warm-up, three that count, one whose memory is recorded
    assert cost["latency_s"] > 0
    assert cost["weight_bytes"] == sum(v.nbytes for v in labeller.model.state_dict().values())
    assert 49 * 4 * 4 < cost["peak_tensor_bytes"] < cost["process_bytes"]
    with pytest.raises(DataError, match="is not a file: the cost is measured on one scan"):
        measure_file(labeller, scans, 3)
    with pytest.raises(DataError, match="give at least 1 run"):
        measure_file(labeller, scans / "sub/000000.bin", 0)


def test_the_command_prints_the_cost_of_a_scan(checkpoint, scans, tmp_path):
    arguments = [
        "predict",
        checkpoint,
        scans / "sub/000000.bin",
        "-o",
        tmp_path / "a.npy",
        "--views",
        0,
        "--measure",
        2,
    ]
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    assert re.search(r"\d\.\d{3} s from file to classes", result.output) and "MB of weights" in result.output
    assert len(np.load(tmp_path / "a.npy")) == 50


def test_bfloat16_mostly_agrees_and_float16_overflow_is_an_error(checkpoint, scans):
    cloud = read_cloud(scans / "sub/000000.bin")
    exact, half = (Labeller(checkpoint, device="cpu", amp=amp)(cloud) for amp in ("off", "bf16"))
    assert (exact == half).mean() > 0.8
    with pytest.raises(DataError, match="amp 'fp8' is unknown; choose one of off, bf16, fp16"):
        Labeller(checkpoint, device="cpu", amp="fp8")
    labeller = Labeller(checkpoint, device="cpu", amp="fp16")
    labeller.model.seg_head.weight.data.mul_(1e6)
    with pytest.raises(DataError, match="overflow float16"):
        labeller(cloud)


def test_checkpoints_with_missing_metadata_are_rejected(tmp_path, checkpoint):
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, build_model("ptv3-tiny", num_classes=2))
    with pytest.raises(CheckpointError, match="does not name its classes"):
        Labeller(path)
    save_checkpoint(path, build_model("ptv3-tiny", num_classes=2), {"class_names": "a,b"})
    with pytest.raises(CheckpointError, match="--voxel-size"):
        Labeller(path)
    assert Labeller(path, 0.2, device="cpu").classes.ids == (1, 2)
    for size in (0.0, float("inf"), float("nan")):
        with pytest.raises(DataError, match="positive and finite"):
            Labeller(checkpoint, size)


def test_colours_of_unknown_classes_differ():
    palette = Classes.of(tuple("abcdefgh")).palette
    assert len(set(palette)) == 8


def test_a_scan_unlike_those_of_training_is_named_with_numbers(tmp_path, scans, caplog):
    profile = ScanProfile({"ground": -1.8, "reach": 30.0}, {"ground": -1.6, "reach": 50.0}, 12)
    path = tmp_path / "m.safetensors"
    metadata = {"class_names": "a,b", "voxel_size": "0.5", "scans": profile.to_json()}
    save_checkpoint(path, build_model("ptv3-tiny", num_classes=2), metadata)
    predict_files(Labeller(path, device="cpu"), scans / "sub/000000.bin", tmp_path / "out", views=0)
    assert "in training 30 to 50 m" in caplog.text and "000000.bin" in caplog.text


def test_a_network_trained_without_intensities_gets_zeros(tmp_path):
    path = tmp_path / "m.safetensors"
    metadata = {"class_names": "a,b", "voxel_size": "0.5", "intensity": "none"}
    save_checkpoint(path, build_model("ptv3-tiny", num_classes=2), metadata)
    np.save(tmp_path / "a.npy", np.column_stack([np.random.default_rng(0).uniform(-5, 5, (50, 3)), np.full(50, -40.0)]))
    labeller = Labeller(path, device="cpu")
    written, _ = predict_files(labeller, tmp_path / "a.npy", tmp_path / "out", views=0)
    assert len(written) == 1 and measure_file(labeller, tmp_path / "a.npy", 1)["latency_s"] > 0
    with pytest.raises(DataError, match="goes down to -40"):
        labeller.read(tmp_path / "a.npy", intensity="intensity")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", '{"low": {}, "high": {}, "scans": 1e999}', '{"low": 1, "high": 1, "scans": 1}', "[" * 9000,
     '{"low": {"reach": "far"}, "high": {"reach": 1}, "scans": 1}', '{"low": {"a": 1}, "high": {"b": 2}, "scans": 1}'],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_a_damaged_description_of_the_training_scans_names_the_checkpoint(tmp_path, text):
    path = tmp_path / "m.safetensors"
    metadata = {"class_names": "a,b", "voxel_size": "0.5", "scans": text}
    save_checkpoint(path, build_model("ptv3-tiny", num_classes=2), metadata)
    with pytest.raises(CheckpointError, match=r"m\.safetensors: its metadata scans"):
        Labeller(path, device="cpu")


@pytest.mark.invalid_arguments
@pytest.mark.parametrize(
    "options",
    [
        {"tta": "2"},
        {"tta": 1.5},
        {"tta": 10**9},
        {"tta": True},
        {"voxel_size": "0.1"},
        {"voxel_size": True},
        {"voxel_size": 1e-300},
    ],
)
def test_impossible_options_of_a_labeller_are_rejected(checkpoint, options):
    with pytest.raises(DataError, match=r"(tta|voxel size) is .*--(tta|voxel-size)"):
        Labeller(checkpoint, device="cpu", **options)


def test_a_scan_that_the_network_cannot_process_is_named_with_what_looks_odd(checkpoint, tmp_path):
    """Millimetres span too many voxels: the unit is the cause, and stray points are not."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "lorry.npy", np.column_stack([rng.uniform(-4e5, 4e5, (400, 3)), rng.random(400)]))
    labeller = Labeller(checkpoint, voxel_size=0.001)
    with pytest.raises(DataError, match=r"lorry\.npy spans .*; .*are coordinates in millimetres or centimetres"):
        labeller(labeller.read(tmp_path / "lorry.npy"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"class_names": "road,car\nx"}, r"class_names holds 'car\\nx'"),
        ({"class_names": "road," + "c" * 1000}, "class_names holds 'ccc"),
        ({"voxel_size": "1e-300"}, "voxel_size is 1e-300 m, finer than any scan"),
        ({"scans": '{"low": {"ground": 5}, "high": {"ground": -5}, "scans": 3}'}, "ground runs from 5 down to -5"),
    ],
    ids=["newline", "long", "voxel", "scans"],
)
def test_impossible_metadata_are_rejected_with_the_name_of_the_checkpoint(tmp_path, change, words):
    path = tmp_path / "lies.safetensors"
    recorded = {"class_names": "road,car", "voxel_size": "0.5", **change}
    save_checkpoint(path, build_model("ptv3-tiny", num_classes=2), recorded)
    with pytest.raises(CheckpointError, match=rf"lies\.safetensors: its metadata .*{words}"):
        Labeller(path, device="cpu")


def test_an_empty_name_of_a_column_is_rejected(checkpoint, scans, tmp_path):
    """It would count as a fifth column, and the message would speak of decibels."""
    arguments = ["predict", checkpoint, scans / "sub/000000.bin", "-o", tmp_path, "--columns", "x,y,z,intensity,"]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 1 and "one of the names is empty; write `_`" in str(done.exception)


def test_a_device_that_torch_was_built_without_is_named_in_a_few_words(checkpoint):
    """For some devices torch lists all of its backends."""
    with pytest.raises(ParameterError, match="device 'mps' cannot be used") as error:
        Labeller(checkpoint, device="mps")
    assert len(str(error.value)) < 300
