"""Written submissions pass the validator; every kind of damage is named."""

import json
import zipfile

import numpy as np
import pytest

from topokd.datasets.nuscenes.submission import validate_submission_folder, write_submission_folder
from topokd.datasets.semantickitti.classes import SEMANTICKITTI
from topokd.datasets.semantickitti.submission import validate_submission_zip, write_submission_zip
from topokd.datasets.waymo.submission import validate_submission_file
from topokd.errors import DataError


@pytest.fixture
def kitti(tmp_path):
    """Test scans of 3 points each, and a valid zip."""
    for sequence in range(11, 22):
        folder = tmp_path / "sequences" / str(sequence) / "velodyne"
        folder.mkdir(parents=True)
        (folder / "000000.bin").write_bytes(np.zeros((3, 4), "<f4").tobytes())
    path = tmp_path / "s.zip"
    write_submission_zip(path, ((f"{s}/000000", np.array([0, 8, 18])) for s in range(11, 22)))
    return path, tmp_path


def rewritten(path, change):
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def test_a_written_semantickitti_submission_is_valid(kitti):
    path, root = kitti
    assert validate_submission_zip(path, root) == []
    ids = np.frombuffer(zipfile.ZipFile(path).read("sequences/21/predictions/000000.label"), np.uint32)
    assert ids.tolist() == [10, 40, 81]


LABEL = "sequences/13/predictions/000000.label"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.pop(LABEL), "missing predictions, 1"),
        (lambda f: f.update({"sequences/13/predictions/000007.label": b""}), "belong to no test scan"),
        (lambda f: f.update({LABEL: b"\0" * 8}), "2 labels of uint32; its scan has 3 points"),
        (lambda f: f.update({LABEL: np.array([1, 9, 3], "<u4").tobytes()}), "holds id 3, 9"),
        (lambda f: f.pop("sequences/14/predictions/"), "missing directory entries, 1: sequences/14/predictions/"),
    ],
)
def test_each_problem_of_a_semantickitti_submission_is_named(kitti, change, message):
    path, root = kitti
    rewritten(path, change)
    problems = validate_submission_zip(path, root)
    assert len(problems) == 1 and message in problems[0]


def test_moving_ids_are_fine_and_broken_zips_are_errors(kitti, caplog):
    path, root = kitti
    rewritten(path, lambda f: f.update({LABEL: np.array([0, 10, 10], "<u4").tobytes()}))
    assert validate_submission_zip(path, root) == []
    assert "ignored class at 1 points: each is a miss" in caplog.text
    rewritten(path, lambda f: f.update({LABEL: np.array([252, 10, 259], "<u4").tobytes()}))
    assert validate_submission_zip(path, root) == []
    content = bytearray(path.read_bytes())
    entry = content.index(LABEL.encode(), content.index(b"PK\x01\x02")) - 46  # in the central directory
    start = int.from_bytes(content[entry + 42 : entry + 46], "little")
    content[start + 8] = content[entry + 10] = 99  # a compression that zipfile does not know
    path.write_bytes(content)
    assert ["cannot be unpacked" in problem for problem in validate_submission_zip(path, root)] == [True]
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match="not a complete zip file"):
        validate_submission_zip(path, root)
    with pytest.raises(DataError, match="has no scans"):
        validate_submission_zip(path, root / "elsewhere")


@pytest.mark.parametrize(
    ("name", "predictions", "message"),
    [
        ("s.tar", [], "end with .zip"),
        ("s.zip", [("08/000000", np.array([0]))], "not one of the test split"),
        ("s.zip", [("11/000000", np.array([0]))] * 2, "given twice"),
        ("s.zip", [("11/000000", np.array([-1]))], "needs a class 0..18"),
        pytest.param("s.zip", [("11/000000", np.array([0.5]))], "integer class", marks=pytest.mark.invalid_arguments),
    ],
)
def test_semantickitti_writer_rejects_wrong_names_scans_and_classes(tmp_path, name, predictions, message):
    with pytest.raises(DataError, match=message):
        write_submission_zip(tmp_path / name, predictions)
    assert not list(tmp_path.iterdir())


def nuscenes(path):
    write_submission_folder(path, [("a1", np.array([0, 15])), ("b2", np.array([3]))], "val")
    return {"a1": 2, "b2": 1}


def test_a_written_nuscenes_submission_is_valid(tmp_path):
    points = nuscenes(tmp_path)
    assert validate_submission_folder(tmp_path, points, "val") == []
    meta = json.loads((tmp_path / "val/submission.json").read_text())["meta"]
    assert meta == {"use_camera": False, "use_lidar": True, "use_radar": False, "use_map": False, "use_external": False}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("lidarseg/val/a1_lidarseg.bin", None, "missing predictions, 1: a1_lidarseg.bin"),
        ("lidarseg/val/a1_lidarseg.bin", b"\1", "1 labels of uint8; its scan has 2 points"),
        ("lidarseg/val/a1_lidarseg.bin", b"\1\0", "holds id 0 at 1 points"),
        ("lidarseg/val/a1_lidarseg.bin", b"\1\x11", "holds id 17"),
        ("lidarseg/val/c3_lidarseg.bin", b"\1", "belong to no keyframe"),
        ("val/submission.json", None, "submission.json is missing"),
        ("val/submission.json", b"{", "not valid JSON"),
        ("val/submission.json", b"[]", "no object `meta`"),
        ("val/submission.json", b'{"meta": {"use_lidar": true}}', "must hold use_camera"),
    ],
)
def test_each_problem_of_a_nuscenes_submission_is_named(tmp_path, file, content, message):
    points = nuscenes(tmp_path)
    path = tmp_path / file
    path.unlink() if content is None else path.write_bytes(content)
    problems = validate_submission_folder(tmp_path, points, "val")
    assert len(problems) == 1 and message in problems[0]


def test_folders_in_place_of_files_and_files_in_place_of_folders_are_named(tmp_path):
    points = nuscenes(tmp_path)
    label = tmp_path / "lidarseg/val/a1_lidarseg.bin"
    label.unlink()
    label.mkdir()
    assert validate_submission_folder(tmp_path, points, "val") == ["a1_lidarseg.bin is a folder, not a file of labels"]
    with pytest.raises(DataError, match="neither a folder nor a complete .zip, as a submission to nuScenes"):
        validate_submission_folder(tmp_path / "val/submission.json", points, "val")
    with pytest.raises(DataError, match="is a folder; a submission to Waymo is a file"):
        validate_submission_file(tmp_path, [("segment", 10)])
    with pytest.raises(DataError, match="does not exist"):
        validate_submission_file(tmp_path / "absent", [("segment", 10)])


def test_wrong_types_in_the_meta_of_nuscenes_and_tokens_that_are_paths_are_rejected(tmp_path):
    points = nuscenes(tmp_path)
    meta = dict.fromkeys(("use_camera", "use_lidar", "use_radar", "use_map", "use_external"), 1)
    (tmp_path / "val/submission.json").write_text(json.dumps({"meta": meta}))
    assert "must be true or false" in validate_submission_folder(tmp_path, points, "val")[0]
    assert "lidarseg/test is missing" in validate_submission_folder(tmp_path, points, "test")[-1]
    with pytest.raises(DataError, match="is not a token"):
        write_submission_folder(tmp_path, [("../x", np.array([0]))])


@pytest.fixture
def nuscenes_zip(tmp_path):
    """A submission as a .zip, and the points of its scans."""
    return tmp_path / "ours.zip", nuscenes(tmp_path / "ours.zip")


def test_a_nuscenes_zip_holds_the_files_of_the_folder_and_equal_predictions_give_equal_bytes(nuscenes_zip, tmp_path):
    path, points = nuscenes_zip
    assert validate_submission_folder(path, points, "val") == []
    nuscenes(tmp_path / "folder")
    with zipfile.ZipFile(path) as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}
    unpacked = {f.relative_to(tmp_path / "folder").as_posix(): f.read_bytes() for f in tmp_path.rglob("folder/**/*.*")}
    assert packed == unpacked and len(packed) == 3
    nuscenes(tmp_path / "again.ZIP")
    assert (tmp_path / "again.ZIP").read_bytes() == path.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["again.ZIP", "folder", "ours.zip"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.pop("lidarseg/val/a1_lidarseg.bin"), "missing predictions, 1: a1_lidarseg.bin"),
        (lambda f: f.update({"lidarseg/val/b2_lidarseg.bin": b"\0"}), "holds id 0 at 1 points"),
        (lambda f: f.pop("val/submission.json"), "submission.json is missing"),
    ],
)
def test_each_problem_of_a_nuscenes_zip_is_named(nuscenes_zip, change, message):
    path, points = nuscenes_zip
    rewritten(path, change)
    problems = validate_submission_folder(path, points, "val")
    assert len(problems) == 1 and message in problems[0]


@pytest.mark.parametrize("name", ["../a", "/tmp/a", "lidarseg/../../a"])
def test_a_nuscenes_zip_cannot_write_outside_its_folder(nuscenes_zip, name):
    path, points = nuscenes_zip
    rewritten(path, lambda f: f.update({name: b"1"}))
    with pytest.raises(DataError, match=f"'{name}' leads out of its folder"):
        validate_submission_folder(path, points, "val")


def test_damaged_nuscenes_zips_and_outputs_of_the_other_kind_are_errors(nuscenes_zip, tmp_path):
    path, points = nuscenes_zip
    content = bytearray(path.read_bytes())
    content[content.index(b"a1_lidarseg.bin") + len("a1_lidarseg.bin")] ^= 0xFF  # the first byte of its data
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"ours\.zip is damaged"):
        validate_submission_folder(path, points, "val")
    path.write_bytes(content[:50])
    with pytest.raises(DataError, match=r"neither a folder nor a complete \.zip"):
        validate_submission_folder(path, points, "val")
    (tmp_path / "taken.zip").mkdir()
    with pytest.raises(DataError, match=r"taken\.zip is a folder: move it"):
        write_submission_folder(tmp_path / "taken.zip", [])
    (tmp_path / "taken").touch()
    with pytest.raises(DataError, match="taken is a file; name a folder, or a .zip"):
        write_submission_folder(tmp_path / "taken", [])


def test_a_nuscenes_zip_is_written_completely_or_not_at_all(tmp_path):
    with pytest.raises(DataError, match="given twice"):
        write_submission_folder(tmp_path / "ours.zip", [("a1", np.array([0]))] * 2)
    assert not list(tmp_path.iterdir())


def test_ids_of_the_server_are_in_the_learning_map():
    assert SEMANTICKITTI.class_of_raw(np.array(SEMANTICKITTI.submission_ids)).tolist() == list(range(19))
