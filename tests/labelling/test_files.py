"""Which files `topokd predict` reads and writes: folders, formats, records of earlier calls."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.conftest import PROJECT
from tests.labelling.conftest import Recorder
from topokd.cli import app, main
from topokd.datasets.semantickitti.classes import SEMANTICKITTI
from topokd.errors import DataError, ParameterError
from topokd.labelling import Labeller, find_scans, predict_files


def test_the_labels_of_a_folder_keep_its_paths_and_come_with_a_legend(checkpoint, scans, tmp_path):
    labeller = Labeller(checkpoint, device="cpu")
    written, failed = predict_files(labeller, scans, tmp_path / "out")
    assert not failed and labeller.voxel_size == 0.5
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in written) == [
        "sub/000000.html", "sub/000000.label", "sub/000001.label",
    ]  # fmt: skip
    ids = np.fromfile(tmp_path / "out/sub/000000.label", np.uint32)
    assert len(ids) == 50 and ids[0] == 0 and set(ids[1:].tolist()) <= set(SEMANTICKITTI.submission_ids)
    legend = json.loads((tmp_path / "out/classes.json").read_text())
    assert legend[8] == {"class": 8, "id": 40, "name": "road", "rgb": list(SEMANTICKITTI.palette[8])}
    page = (tmp_path / "out/sub/000000.html").read_text()
    assert "<title>000000.bin</title>" in page and "49 points" in page
    assert "plotly" in page and '<script src="http' not in page


def test_npy_and_ply_hold_the_same_classes(checkpoint, scans, tmp_path):
    from plyfile import PlyData

    labeller, source = Labeller(checkpoint, device="cpu"), scans / "sub" / "000000.bin"
    predict_files(labeller, source, tmp_path / "a.npy", views=0)
    predict_files(labeller, source, tmp_path / "a.ply", views=0)
    classes = np.load(tmp_path / "a.npy", allow_pickle=False)
    vertex = PlyData.read(str(tmp_path / "a.ply"))["vertex"]
    assert (vertex["label"] == classes).all() and classes[0] == -1
    assert tuple(int(vertex[c][1]) for c in ("red", "green", "blue")) == SEMANTICKITTI.palette[classes[1]]
    assert not list(tmp_path.glob("*.html"))


def test_a_bad_scan_in_a_folder_is_reported_and_the_others_are_labelled(checkpoint, scans, tmp_path):
    (scans / "a.ply").write_bytes(b"nonsense")
    labeller = Labeller(checkpoint, device="cpu")
    written, failed = predict_files(labeller, scans, tmp_path / "out", views=0)
    assert len(written) == 2 and list(failed) == [scans / "a.ply"]
    with pytest.raises(DataError, match=r"a\.ply cannot be read"):
        predict_files(labeller, scans / "a.ply", tmp_path / "out")


def test_a_scan_that_vanishes_during_the_work_is_reported_and_the_others_are_labelled(checkpoint, scans, tmp_path):
    """As one on a network drive, or one that the user may not read."""

    class Remover(Recorder):
        def __call__(self, cloud):
            (scans / "sub/000001.bin").unlink(missing_ok=True)
            return super().__call__(cloud)

    remover = Remover(checkpoint, device="cpu")
    written, failed = predict_files(remover, scans, tmp_path / "out", views=0)
    assert [path.name for path in written] == ["000000.label"] and (tmp_path / "out/classes.json").is_file()
    assert failed == {scans / "sub/000001.bin": f"{scans / 'sub/000001.bin'}: No such file or directory"}


def test_labels_of_another_version_of_the_code_are_made_again(checkpoint, scans, tmp_path, edit_source):
    labeller = Recorder(checkpoint, device="cpu")
    for module, number in ((None, 2), (None, 2), ("data/formats/cloud.py", 4), ("models/ptv3.py", 6)):
        if module:
            edit_source(module)
        predict_files(labeller, scans, tmp_path / "out", views=0)
        assert len(labeller.names) == number


def test_an_output_folder_inside_the_input_is_skipped(checkpoint, scans, caplog):
    labeller = Labeller(checkpoint, device="cpu")
    (scans / "notes.txt").write_text("")
    caplog.set_level("INFO")
    first, _ = predict_files(labeller, scans, scans / "labels", "ply", views=2)
    second, _ = predict_files(labeller, scans, scans / "labels", "ply", views=2)
    assert first == second and [path.suffix for path in first] == [".ply", ".html"] * 2
    assert "skipped 1 .txt" in caplog.text


def test_each_sensor_of_a_folder_keeps_its_scale(checkpoint, scans, tmp_path, caplog):
    """A scan of five columns has the scale 255, fractions have 1; a scan that cannot be of that scale has its own."""
    rows = np.column_stack([np.random.default_rng(1).uniform(-5, 5, (20, 3)), np.full(20, 200), np.arange(20) % 32])
    rows.astype("<f4").tofile(scans / "a.pcd.bin")
    rows[:, [0, 1, 2, 3]].astype("<f4").tofile(scans / "z.bin")
    labeller = Recorder(checkpoint, device="cpu")
    _, failed = predict_files(labeller, scans, tmp_path / "out", views=0)
    assert not failed and labeller.scales == {"a.pcd.bin": 255, "000000.bin": 1, "000001.bin": 1, "z.bin": 255}
    assert "of 0 to 1, but 100.0 % of the values of intensity exceed it (up to 200)" in caplog.text


def test_the_scale_of_a_folder_is_guessed_from_a_sample_and_said_once(checkpoint, tmp_path, caplog):
    """The first scan is dark: with the scale of its own brightest point, later ones were rejected."""
    rng, folder = np.random.default_rng(4), tmp_path / "yard"
    folder.mkdir()
    for k, high in enumerate((90, 1000, 600, 980)):
        np.save(folder / f"{k}.npy", np.column_stack([rng.uniform(-5, 5, (40, 3)), rng.integers(0, high, 40)]))
    labeller = Recorder(checkpoint, device="cpu")
    _, failed = predict_files(labeller, folder, tmp_path / "out", views=0)
    assert not failed and set(labeller.scales.values()) == {1023}
    assert caplog.text.count("divided by 1023, a guess from a sample") == 1
    predict_files(labeller, folder, tmp_path / "out", views=0)
    assert len(labeller.names) == 4
    np.save(folder / "4.npy", np.column_stack([rng.uniform(-5, 5, (40, 3)), rng.integers(0, 4000, 40)]))
    predict_files(labeller, folder, tmp_path / "out", views=0)  # another scale: other labels
    assert len(labeller.names) == 9 and set(labeller.scales.values()) == {4095}


@pytest.mark.parametrize("names", [("a.las", "b.bin"), ("b.las", "a.bin")])
def test_a_formats_scale_is_not_forced_on_another(checkpoint, tmp_path, names):
    """Intensities of .las go up to 65535, those of .bin up to 1, in either order of reading."""
    laspy = pytest.importorskip("laspy")
    xyz, folder = np.random.default_rng(0).uniform(-5, 5, (30, 3)), tmp_path / "scans"
    folder.mkdir()
    las = laspy.create(point_format=0, file_version="1.2")
    las.header.scales = [0.001] * 3
    las.x, las.y, las.z = xyz.T
    las.intensity = np.linspace(0, 60000, 30).astype(np.uint16)
    las.write(folder / names[0])
    np.column_stack([xyz, np.linspace(0, 1, 30)]).astype("<f4").tofile(folder / names[1])
    labeller = Recorder(checkpoint, device="cpu")
    _, failed = predict_files(labeller, folder, tmp_path / "out", views=0)
    assert not failed and labeller.scales == {names[0]: 65535, names[1]: 1}


def test_paths_that_cannot_be_written_are_named_without_a_traceback(checkpoint, scans, tmp_path, monkeypatch, capsys):
    (tmp_path / "notes").write_text("kept")
    scan = scans / "sub/000000.bin"
    for output in (tmp_path / "notes", tmp_path / "notes/below/out"):
        monkeypatch.setattr("sys.argv", ["topokd", "predict", str(checkpoint), str(scan), "-o", str(output)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr().err.splitlines()[-1]
        assert ended.value.code == 1 and said.startswith(f"error: {tmp_path / 'notes'}"), said
        assert "a file is in the way" in said
    assert (tmp_path / "notes").read_text() == "kept"


def test_a_negative_number_of_pages_is_rejected(checkpoint, scans, tmp_path):
    done = CliRunner().invoke(app, ["predict", str(checkpoint), str(scans), "-o", str(tmp_path / "o"), "--views", "-1"])
    assert done.exit_code == 2 and not (tmp_path / "o").exists()


def test_unusable_outputs_devices_and_scales_raise(checkpoint, scans, tmp_path):
    labeller = Labeller(checkpoint, device="cpu")
    for name, words in (("a.xyz", r"written as \.label, \.ply, \.npy"), ("a.xyz/b.bin", r"use such a name")):
        with pytest.raises(DataError, match=words):
            predict_files(labeller, scans / "sub/000000.bin", tmp_path / name)
    with pytest.raises(DataError, match=r"a\.ply is the name of one file, but there are 2 scans"):
        predict_files(labeller, scans, tmp_path / "a.ply")
    for device in ("gpu", "meta"):
        with pytest.raises(ParameterError, match=f"device '{device}' cannot be used"):
            Labeller(checkpoint, device=device)
    with pytest.raises(DataError, match="intensity scale is -1; it must be positive"):
        predict_files(labeller, scans / "sub/000000.bin", tmp_path / "out", intensity_scale=-1)
    with pytest.raises(DataError, match="drop one of the two"):
        predict_files(labeller, scans / "sub/000000.bin", tmp_path / "a.ply", "npy")
    np.save(scans / "sub/000000.npy", np.ones((3, 4)))
    with pytest.raises(DataError, match=r"000000\.bin and .*000000\.npy would both be written"):
        predict_files(labeller, scans, tmp_path / "out")
    with pytest.raises(DataError, match="overwritten"):
        predict_files(labeller, scans / "sub/000000.npy", scans / "sub", "npy")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.pcap").touch()
    with pytest.raises(DataError, match=r"has no scans, only 1 \.pcap; readable are \.bin"):
        predict_files(labeller, tmp_path / "empty", tmp_path / "out")
    with pytest.raises(DataError, match="does not exist"):
        predict_files(labeller, tmp_path / "nowhere", tmp_path / "out")


def test_files_that_predict_did_not_write_are_never_replaced(checkpoint, scans, tmp_path):
    labeller, truth = Labeller(checkpoint, device="cpu"), scans / "sub/000001.label"
    truth.write_bytes(b"by hand")
    with pytest.raises(DataError, match=r"000001\.label would be replaced, but topokd predict did not write it"):
        predict_files(labeller, scans, scans, views=0)
    assert truth.read_bytes() == b"by hand" and not (scans / "sub/000000.label").exists()
    predict_files(labeller, scans, scans, views=0, overwrite=True)
    assert len(np.fromfile(truth, np.uint32)) == 50
    predict_files(labeller, scans, scans, views=0)  # its own by now
    truth.write_bytes(b"corrected by hand")
    with pytest.raises(DataError, match="--overwrite"):
        predict_files(labeller, scans, scans, views=0)


def test_a_folder_resumes_where_it_stopped(checkpoint, scans, tmp_path):
    class Interrupted(Recorder):
        def __call__(self, cloud):
            label = super().__call__(cloud)
            if len(self.names) == 2:
                raise KeyboardInterrupt
            return label

    labeller = Interrupted(checkpoint, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        predict_files(labeller, scans, tmp_path / "out", views=0)
    written, _ = predict_files(labeller, scans, tmp_path / "out", views=0)
    assert labeller.names == ["000000.bin", "000001.bin", "000001.bin"] and len(written) == 2
    predict_files(labeller, scans, tmp_path / "out", views=0, intensity="none")  # other labels: all again
    assert len(labeller.names) == 5


def test_a_resumed_folder_keeps_the_scale_that_its_first_scan_had(checkpoint, tmp_path):
    """The second scan alone looks as if its full scale were 1."""
    points = np.random.default_rng(0).uniform(-5, 5, (2000, 3))
    for name, highest in (("a", 256), ("b", 2)):
        intensity = np.random.default_rng(1).integers(0, highest, 2000)
        np.save(tmp_path / f"{name}.npy", np.column_stack([points, intensity]).astype("f4"))
    labeller = Recorder(checkpoint, device="cpu")
    for _ in range(2):
        predict_files(labeller, tmp_path, tmp_path / "out", views=0)
        (tmp_path / "out/b.label").unlink()
    assert labeller.names == ["a.npy", "b.npy", "b.npy"] and labeller.scales["b.npy"] == 255.0


@pytest.mark.parametrize("first", ["scans", "scans/labels"])
def test_clouds_that_predict_wrote_are_not_read_as_scans(checkpoint, scans, tmp_path, first):
    """Coloured clouds (.ply) among the scans, from a call with another output folder."""
    labeller = Recorder(checkpoint, device="cpu")
    predict_files(labeller, scans, tmp_path / first, "ply", views=0)
    written, failed = predict_files(labeller, scans, tmp_path / "out", views=0)
    assert [path.name for path in written] == ["000000.label", "000001.label"] and not failed


def test_a_broken_link_is_not_replaced_by_labels(checkpoint, scans, tmp_path):
    (scans / "sub/000000.label").symlink_to(tmp_path / "truth-on-another-disk.label")
    with pytest.raises(DataError, match="would be replaced"):
        predict_files(Labeller(checkpoint, device="cpu"), scans, scans, views=0)


@pytest.mark.parametrize("target", ["absent", "out"])
def test_an_output_that_is_a_broken_or_endless_link_is_found_before_any_scan_is_labelled(
    checkpoint, scans, tmp_path, target
):
    (tmp_path / "out").symlink_to(tmp_path / target)
    labeller = Recorder(checkpoint, device="cpu")
    with pytest.raises(OSError, match="out"):
        predict_files(labeller, scans, tmp_path / "out")
    assert not labeller.names
    (scans / "loop").symlink_to(scans / "loop")
    files, _ = find_scans(scans)
    assert len(files) == 2


def test_links_are_followed_and_hidden_folders_are_not(checkpoint, scans, tmp_path, caplog):
    (tmp_path / "elsewhere").mkdir()
    (scans / "sub/000001.bin").rename(tmp_path / "elsewhere/000001.bin")
    (scans / "linked").symlink_to(tmp_path / "elsewhere")
    (scans / "again").symlink_to(scans)
    (scans / "gone.bin").symlink_to(tmp_path / "nothing")
    (scans / ".cache").mkdir()
    (scans / ".cache/a.bin").write_bytes(b"x" * 16)
    caplog.set_level("INFO")
    written, _ = predict_files(Labeller(checkpoint, device="cpu"), scans, tmp_path / "out", views=0)
    names = [path.relative_to(tmp_path / "out").as_posix() for path in written]
    assert sorted(names) == ["linked/000001.label", "sub/000000.label"] and "is a broken link" in caplog.text


def test_impossible_outputs_are_rejected_before_any_scan_is_labelled(checkpoint, scans, tmp_path):
    labeller = Labeller(checkpoint, device="cpu")
    with pytest.raises(DataError, match="name a folder"):
        predict_files(labeller, scans, tmp_path / "labels.zip")
    (tmp_path / "out/sub/000001.label").mkdir(parents=True)
    with pytest.raises(DataError, match="is a folder, and labels would be written there"):
        predict_files(labeller, scans, tmp_path / "out")
    assert not (tmp_path / "out/sub/000000.label").exists()


@pytest.mark.parametrize("output", ["own.npy", "link.npy"])
def test_labels_never_replace_the_scan_itself(checkpoint, tmp_path, output):
    np.save(tmp_path / "own.npy", np.random.default_rng(0).uniform(-5, 5, (50, 3)))
    (tmp_path / "link.npy").symlink_to("own.npy")
    with pytest.raises(DataError, match=r"own\.npy would be overwritten by its own labels"):
        predict_files(Labeller(checkpoint, device="cpu"), tmp_path / "own.npy", tmp_path / output, overwrite=True)
    assert np.load(tmp_path / "own.npy").shape == (50, 3)


def test_a_name_without_room_for_its_suffix_is_found_before_any_scan_is_labelled(checkpoint, scans, tmp_path):
    (scans / "sub/000001.bin").rename(scans / f"sub/{'x' * 251}.bin")  # x...x.label has 257 letters
    with pytest.raises(DataError, match=r"x\.label would have a name of 257 bytes.*rename the scan"):
        predict_files(Labeller(checkpoint, device="cpu"), scans, tmp_path / "out", views=0)
    assert not (tmp_path / "out").exists()


def test_a_record_that_is_a_folder_is_found_before_any_scan_is_labelled(checkpoint, scans, tmp_path):
    (tmp_path / "out/.topokd-labels.jsonl").mkdir(parents=True)
    with pytest.raises(DataError, match=r"topokd-labels\.jsonl is a folder"):
        predict_files(Labeller(checkpoint, device="cpu"), scans, tmp_path / "out", views=0)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".topokd-labels.jsonl"]


def test_assumptions_about_a_folder_are_printed_in_one_table(checkpoint, scans, tmp_path, caplog):
    rng = np.random.default_rng(0)
    for k in range(3):
        rows = np.column_stack([rng.uniform(-5, 5, (400, 3)), rng.integers(0, 101, 400)])
        rows.astype("<f8").tofile(scans / f"{k}.bin")
    predict_files(Labeller(checkpoint, device="cpu"), scans, tmp_path / "out", views=0)
    (table,) = [record.message for record in caplog.records if "assumptions about the scans" in record.message]
    assert "3 of 5 scans: its bytes are implausible as float32 but plausible as float64" in table


def test_half_a_line_of_the_record_costs_one_scan_and_damaged_lines_none(checkpoint, scans, tmp_path):
    """A call was killed while it wrote the record; a later one must not lose its own line too."""
    labeller, record = Recorder(checkpoint, device="cpu"), tmp_path / "out" / ".topokd-labels.jsonl"
    predict_files(labeller, scans, tmp_path / "out", views=0)
    lines = record.read_text().splitlines(keepends=True)
    assert json.loads(lines[1])["file"] == "sub/000001.label"
    damaged = ["[]\n", "null\n", '{"file": "sub/000000.label"}\n', '{"file": ["x"], "sha256": 1}\n', "[" * 9000 + "\n"]
    record.write_text("".join([*damaged, lines[0], *lines[2:], lines[1][:40]]))
    with pytest.raises(DataError, match=r"000001\.label would be replaced"):
        predict_files(labeller, scans, tmp_path / "out", views=0)
    (tmp_path / "out/sub/000001.label").unlink()
    predict_files(labeller, scans, tmp_path / "out", views=0)
    predict_files(labeller, scans, tmp_path / "out", views=0)
    assert labeller.names == ["000000.bin", "000001.bin", "000001.bin"]


def test_a_disk_that_is_full_when_the_record_is_written_is_named(checkpoint, scans, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.topokd-labels.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as raised:
        predict_files(Labeller(checkpoint, device="cpu"), scans, tmp_path / "out", views=0)
    assert str(raised.value.filename).endswith("out/.topokd-labels.jsonl")


@pytest.mark.parametrize("name", ["点" * 80, "a" * 248, "Stra\udcdfe", "two\nlines", "'quoted' \"name\""])
def test_names_of_files_may_be_anything_the_system_takes(checkpoint, scans, tmp_path, name):
    path = scans / "sub/000000.bin"
    path = path.rename(path.with_name(f"{name}.bin"))
    (scans / "sub/000001.bin").unlink()  # or the page would be of that scan
    arguments = ["predict", str(checkpoint), str(path.parent), "-o", str(tmp_path / "out"), "--views", "1"]
    strict = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-m", "topokd.cli", *arguments], capture_output=True, env=strict)
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr[-2000:]
    assert (tmp_path / "out" / f"{name}.label").stat().st_size == 200
    assert (tmp_path / "out" / f"{name}.html").stat().st_size > 1000
