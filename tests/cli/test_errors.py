"""Everything that a user can do wrong ends in one line and exit status 1 or 2, without a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.conftest import PROJECT
from topokd.cli import main
from topokd.cli.output import require_json
from topokd.params import load_profile, profile_names

OUTSIDE = {  # commands in a folder that is not a checkout
    "repro": ["repro"],
    "repro_unknown_profile": ["repro", "--profile", "somke"],
    "stages": ["stages"],
    "params": ["params", "waymo"],
    "metrics": ["metrics", "default"],
    "notebook": ["notebook", "notebooks/10_data.py"],
    "notebook_parameter": ["notebook", "n.py", "-p", "seed"],
    "notebook_value": ["notebook", "n.py", "-p", "items=[1"],
    "train": ["train", "teacher"],
    "readme": ["readme"],
    "predict_format": ["predict", "absent.safetensors", "scan.bin", "-o", "out", "--format", "png"],
    "export_suffix": ["export", "absent.safetensors", "net.tflite"],
    "data_fingerprint": ["data", "fingerprint"],
    "predict_columns": ["predict", "absent.safetensors", "scan.bin", "-o", "out", "--columns", "\N{SUPERSCRIPT TWO}"],
    "predict_columns_minus": ["predict", "absent.safetensors", "scan.bin", "-o", "out", "--columns=--4"],
    "evaluate_output": ["evaluate", "semantickitti", "absent.safetensors", "data", "-o", "scan.bin"],
    "fingerprint_output": ["data", "fingerprint", "data", "-o", "absent.safetensors"],
    "notebook_date": ["notebook", "n.py", "-p", "day=2024-13-45"],
    "notebook_name": ["notebook", "n.py", "-p", "=3"],
}


def failed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    monkeypatch.setattr(sys, "argv", ["topokd", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code in (1, 2)
    return capsys.readouterr().err


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_error_outside_a_checkout_is_one_line(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    snapshot: SnapshotAssertion,
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    message = failed(monkeypatch, capsys, OUTSIDE[name])
    assert message.replace(str(tmp_path), "<folder>") == snapshot


ABSENT = {  # the message names the path that does not exist; its words belong to other modules
    "predict": ["predict", "absent.safetensors", "scan.bin", "-o", "out"],
    "export": ["export", "absent.safetensors", "net.onnx"],
    "evaluate": ["evaluate", "semantickitti", "absent.safetensors", "data"],
    "data_check": ["data", "check", "absent"],
    "data_fingerprint": ["data", "fingerprint", "absent"],
}


@pytest.mark.parametrize("name", ABSENT)
def test_an_absent_file_or_folder_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    message = failed(monkeypatch, capsys, ABSENT[name])
    assert message.startswith("error: ") and "absent" in message


WRONG = {  # commands in the checkout
    "train_row": ["train", "ful"],
    "train_profile": ["train", "full", "--profile", "somke"],
    "fingerprint_profile": ["data", "fingerprint", "--profile", "somke"],
    "notebook_itself": ["notebook", "notebooks/10_data.py", "-o", "notebooks/10_data.ipynb"],
    "notebook_script": ["notebook", "notebooks/10_data.py", "-o", "notebooks/10_data.py"],
    "notebook_folder": ["notebook", "notebooks/10_data.py", "-o", "notebooks"],
    "notebook_params_file": ["notebook", "notebooks/10_data.py", "-p", "params_file=3"],
    "slurm_task": ["slurm", "task", "default", "teacher@default-0", "7"],
}


@pytest.mark.parametrize("name", WRONG)
def test_an_error_in_a_checkout_is_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], snapshot: SnapshotAssertion
):
    message = failed(monkeypatch, capsys, WRONG[name])
    for text, name in (
        (str(PROJECT), "<project>"), (", ".join(profile_names()), "<profiles>"),
        (", ".join(load_profile("default").rows), "<rows>"),
    ):  # fmt: skip
        message = message.replace(text, name)
    assert message == snapshot


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["repro", "--jobs", "-1"], "--jobs"),
        (["train", "teacher", "--seed", "-1"], "--seed"),
        (["predict"], "MODEL"),
    ],
)
def test_a_wrong_option_ends_with_status_2_and_its_name(
    arguments: list[str], name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    message = failed(monkeypatch, capsys, arguments)
    assert "Error" in message and name in message


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "topokd.cli", "data", "fingerprint", str(tmp_path), "-o", str(tmp_path / "file/x")]
    (tmp_path / "sequences").mkdir()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and str(tmp_path / "file") in done.stderr


def test_an_output_that_cannot_be_written_is_found_before_the_work(tmp_path: Path):
    """Scores of a whole split were counted first."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        require_json(tmp_path / "file" / "scores.json")
    require_json(tmp_path / "new folder" / "scores.json")


def test_a_working_folder_that_was_deleted_is_named(tmp_path: Path):
    (tmp_path / "gone").mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); sys.argv = ['topokd', 'repro']; from topokd.cli import main; main()"
    environment = {name: value for name, value in os.environ.items() if name != "TOPOKD_ROOT"}
    environment["PYTHONPATH"] = str(PROJECT)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path / "gone")
    assert done.returncode == 1 and done.stderr == (
        "error: the working folder does not exist any more: change to one that does\n"
    )


@pytest.mark.parametrize("command", [["predict", "a.safetensors", "", "-o", "out"], ["data", "check", ""]])
def test_an_empty_argument_is_not_taken_for_the_working_folder(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """`-o "$OUT"` with OUT unset wrote labels into the working folder."""
    place = command.index("")
    assert f"the argument after {command[place - 1]!r} is empty" in failed(monkeypatch, capsys, command)


def test_a_missing_optional_package_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setitem(sys.modules, "papermill", None)
    message = failed(monkeypatch, capsys, ["notebook", "notebooks/10_data.py"])
    assert "needs the package papermill" in message
