"""The commands submit, validate and evaluate, on data in each released layout."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.datasets.waymo_file import read_waymo
from topokd import params
from topokd.cli import app
from topokd.data import Scan
from topokd.datasets import BENCHMARKS, SemanticKITTI, WaymoSegmentation, nuscenes, semantickitti, waymo
from topokd.datasets.semantickitti.files import write_scan, write_sequence_files
from topokd.evaluation import ConfusionMatrix, predict, submission
from topokd.models import build_model, load_checkpoint, save_checkpoint
from topokd.synthetic import write_nuscenes, write_semantickitti, write_waymo

SMALL = params.Synthetic(
    azimuths=32, train_sequences=(0,), val_sequences=(8,), scans_per_sequence=1, val_scans_per_sequence=1
)
OUTPUT = {"semantickitti": "submission.zip", "nuscenes": "submission", "waymo": "submission.bin"}
SPLIT = {"semantickitti": "test", "nuscenes": "val", "waymo": "val"}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("worlds")
    write_semantickitti(root / "semantickitti", SMALL)
    scan = SemanticKITTI(root / "semantickitti", "val")[0]
    for sequence in range(11, 22):  # the test split has points alone
        write_scan(root / "semantickitti", sequence, 0, Scan(scan.xyz[sequence::7], scan.intensity[sequence::7]))
    write_nuscenes(root / "nuscenes", SMALL)
    write_waymo(root / "waymo", SMALL.replace(azimuths=2650))  # what the server takes
    return root


def checkpoint(folder: Path, benchmark: str, **metadata: str) -> Path:
    torch.manual_seed(0)
    names = BENCHMARKS[benchmark].classes.class_names
    model = build_model("ptv3-tiny", num_classes=len(names))
    save_checkpoint(
        folder / "tiny.safetensors", model, {"class_names": ",".join(names), "voxel_size": "1.0", **metadata}
    )
    return folder / "tiny.safetensors"


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def submit(benchmark: str, worlds: Path, folder: Path):
    who = ("--account", "a@b.org", "--method", "topokd", "--author", "A") if benchmark == "waymo" else ()
    output = folder / OUTPUT[benchmark]
    model = checkpoint(folder, benchmark)
    done = run("submit", benchmark, model, worlds / benchmark, "-o", output, "--split", SPLIT[benchmark], *who)
    return output, done


def only_a_subset(done) -> None:
    """The only problem of a submission for a synthetic split is its size."""
    assert done.exit_code == 1 and "would be rejected, 1 problem\n" in done.output, (done.output, done.exception)
    assert "the data here are a subset: " in done.output


@pytest.mark.invalid_arguments  # a stand-in for the data set
@pytest.mark.parametrize(
    ("benchmark", "split", "scans", "words"),
    [
        ("semantickitti", "test", 11, "a subset: 11 of 20,351 scans"),
        ("semantickitti", "test", 20_351, None),
        ("nuscenes", "val", 3, "a subset: 3 of 6,019 keyframes"),
        ("nuscenes", "val", 6_019, None),
        ("waymo", "test", 29_000, "too many: 29,000 of 2,982 frames that the server compares with; give Waymo's list"),
        ("waymo", "test", 2_982, None),
        ("waymo", "val", 202, None),
        ("waymo", "val", 201, "a subset: 201 of 202 segments"),
    ],
)
def test_a_data_set_of_another_size_than_published_is_a_problem(
    benchmark: str, split: str, scans: int, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Scans:
        version, sequences, names, root = "v1.0-trainval", range(scans), [], Path()

        def __len__(self) -> int:
            return scans

    for module in (semantickitti.submission, nuscenes.submission, waymo.submission):
        (of_the_file,) = (name for name in vars(module) if name.startswith("validate_submission_"))
        monkeypatch.setattr(module, of_the_file, lambda *_: [])
    problems = BENCHMARKS[benchmark].submission.validate(Path("any"), Scans(), split)
    assert len(problems) == bool(words) and (not words or words in problems[0])


def test_a_missing_sequence_is_reported_before_prediction(worlds: Path, tmp_path: Path, monkeypatch) -> None:
    root = Path(shutil.copytree(worlds / "semantickitti", tmp_path / "kitti"))
    shutil.rmtree(root / "sequences/14")
    monkeypatch.setattr(submission, "predict", lambda *_: pytest.fail("predicted"))
    done = run("submit", "semantickitti", checkpoint(tmp_path, "semantickitti"), root, "-o", tmp_path / "s.zip")
    assert "14/velodyne has no scans" in str(done.exception) and not (tmp_path / "s.zip").exists()


def test_external_data_are_declared_to_nuscenes(worlds: Path, tmp_path: Path) -> None:
    model = checkpoint(tmp_path, "nuscenes")
    run("submit", "nuscenes", model, worlds / "nuscenes", "-o", tmp_path / "n", "--split", "val", "--external")
    assert json.loads((tmp_path / "n/val/submission.json").read_text())["meta"]["use_external"] is True


def test_a_zip_for_nuscenes_is_written_and_validated_by_the_commands(worlds: Path, tmp_path: Path) -> None:
    model, output = checkpoint(tmp_path, "nuscenes"), tmp_path / "ours.zip"
    only_a_subset(run("submit", "nuscenes", model, worlds / "nuscenes", "-o", output, "--split", "val"))
    with zipfile.ZipFile(output) as archive:
        names = archive.namelist()
    assert "val/submission.json" in names and names[0].startswith("lidarseg/val/")
    only_a_subset(run("validate", "nuscenes", output, worlds / "nuscenes", "--split", "val"))


@pytest.mark.parametrize("benchmark", ["semantickitti", "nuscenes", "waymo"])
def test_a_written_submission_is_valid(worlds: Path, tmp_path: Path, benchmark: str) -> None:
    output, done = submit(benchmark, worlds, tmp_path)
    only_a_subset(done)
    check = ("validate", benchmark, output, worlds / benchmark, "--split", SPLIT[benchmark])
    only_a_subset(run(*check))
    if benchmark == "nuscenes":
        next(output.rglob("*_lidarseg.bin")).unlink()
    elif benchmark == "semantickitti":
        root = Path(shutil.copytree(worlds / benchmark, tmp_path / "other"))
        write_scan(root, 11, 1, Scan(np.ones((2, 3)), np.zeros(2)))  # a scan more than were predicted
        check = ("validate", benchmark, output, root)
    else:
        output.write_bytes(output.read_bytes() * 2)
    spoilt = run(*check)
    assert spoilt.exit_code == 1 and "would be rejected, 2 problems" in spoilt.output


def test_waymo_classes_are_at_the_pixels_of_the_points(worlds: Path, tmp_path: Path) -> None:
    output, _ = submit("waymo", worlds, tmp_path)
    ((frame, returns),) = read_waymo(output)
    dataset = WaymoSegmentation(worlds / "waymo", "val")
    pixels = dataset.pixels(0)
    assert f"{frame[0]}/{frame[1]}" == dataset.names[0]
    filled = np.zeros((2, 64, 2650), bool)
    filled[pixels.return_index, pixels.row, pixels.column] = True
    assert (np.stack(returns) >= 0).tolist() == filled.tolist()


def test_a_network_of_accumulated_scans_submits_only_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for sequence in range(11, 22):
        write_sequence_files(tmp_path / "kitti", sequence, np.tile(np.eye(4), (2, 1, 1)), [0.0, 0.1])
        for frame, points in enumerate(rng.integers(20, 60, 2)):
            write_scan(tmp_path / "kitti", sequence, frame, Scan(rng.normal(size=(points, 3)), rng.random(points)))
    seen = []
    real = submission.predict
    monkeypatch.setattr(
        submission, "predict", lambda model, scan, *rest: seen.append(len(scan)) or real(model, scan, *rest)
    )
    model = checkpoint(tmp_path, "semantickitti", sweeps="2")
    done = run("submit", "semantickitti", model, tmp_path / "kitti", "-o", tmp_path / "s.zip")
    only_a_subset(done)
    alone = list(map(len, SemanticKITTI(tmp_path / "kitti", "test")))
    assert seen[::2] == alone[::2] and seen[1::2] == [a + b for a, b in zip(alone[::2], alone[1::2], strict=True)]


@pytest.mark.parametrize("benchmark", ["semantickitti", "nuscenes", "waymo"])
def test_evaluate_prints_the_official_scores(worlds: Path, tmp_path: Path, benchmark: str) -> None:
    model = checkpoint(tmp_path, benchmark)
    done = run("evaluate", benchmark, model, worlds / benchmark, "-o", tmp_path / "scores.json")
    assert done.exit_code == 0, (done.output, done.exception)
    scores = json.loads((tmp_path / "scores.json").read_text())
    dataset = BENCHMARKS[benchmark].open(worlds / benchmark, "val")
    matrix = ConfusionMatrix(dataset.num_classes, dataset.class_names)
    for scan in dataset:
        matrix.update(predict(load_checkpoint(model), scan, 1.0), scan.label)
    expected = BENCHMARKS[benchmark].official_scores(matrix).rows()
    assert {name: value for name, value in scores["percent"].items() if value is not None} == pytest.approx(
        {name: value for name, value in expected.items() if not np.isnan(value)}
    )
    assert list(scores["percent"]) == list(expected) and scores["scans"] == len(dataset) == 1
    assert f"{'mIoU':24s}{expected['mIoU']:8.2f}" in done.output
    assert run("evaluate", benchmark, model, worlds / benchmark, "--split", "test").exit_code != 0


def test_a_split_without_a_class_is_nothing_to_score(tmp_path: Path) -> None:
    """Labels of 0 throughout, as unlabelled copies have them: a table of zeros would look like a bad network."""
    xyz = np.random.default_rng(0).uniform(-5, 5, (50, 3))
    write_scan(tmp_path, 8, 0, Scan(xyz, np.zeros(50), np.full(50, -1)))
    done = run("evaluate", "semantickitti", checkpoint(tmp_path, "semantickitti"), tmp_path)
    assert done.exit_code == 1 and "mIoU" not in done.output
    assert "no point of the split val has a class of semantickitti" in str(done.exception)


def test_a_network_with_other_classes_is_rejected(worlds: Path, tmp_path: Path) -> None:
    model = checkpoint(tmp_path, "nuscenes")
    done = run("submit", "semantickitti", model, worlds / "semantickitti", "-o", tmp_path / "s.zip")
    assert done.exit_code != 0 and "are not those of" in str(done.exception)
    assert not (tmp_path / "s.zip").exists()
