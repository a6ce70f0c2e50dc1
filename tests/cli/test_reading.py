"""The options that say how a file is read: every command that gives the advice takes them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from topokd.cli import app
from topokd.errors import DataError
from topokd.explore import page

RUNNER = CliRunner()


def rows(columns: int, n: int = 400) -> np.ndarray:
    """Points of a scan, then numbers of other sizes."""
    rng = np.random.default_rng(0)
    xyz = np.column_stack([rng.normal(0, 20, (n, 2)), rng.normal(-1, 1, n)])
    return np.column_stack([xyz, *(10.0 ** (3 + k) * (1 + rng.random(n)) for k in range(columns - 3))])


def noise(n: int) -> bytes:
    return np.random.default_rng(0).integers(0, 256, n, dtype=np.uint8).tobytes()


ODD = {  # content of a .bin, and what its message advises
    "of a size that is not a multiple of a row": (rows(3).astype("<f4").tobytes() + b"end", {"--columns", "--dtype"}),
    "of bytes that are not numbers": (noise(4000), {"--columns", "--dtype"}),
    "with half a row more": (rows(7).astype("<f4").tobytes() + bytes(8), {"--columns"}),
    "with coordinates far too large": (1e12 * rows(4).astype("<f8"), {"--dtype"}),
}


def options_of(command: str) -> set[str]:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return {option for parameter in commands[command].params for option in parameter.opts}


@pytest.mark.parametrize("case", ODD)
def test_explore_takes_the_options_that_its_message_advises(case: str, tmp_path: Path):
    content, advised = ODD[case]
    (tmp_path / "odd.bin").write_bytes(content if isinstance(content, bytes) else content.tobytes())
    result = RUNNER.invoke(app, ["explore", str(tmp_path / "odd.bin"), "--out", str(tmp_path / "page.html")])
    assert isinstance(result.exception, DataError)
    named = set(re.findall(r"--[a-z-]+", str(result.exception)))
    assert advised <= named <= options_of("explore")


def test_explore_reads_an_odd_file_by_the_options_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    points, shown = rows(6, 60), []
    monkeypatch.setattr(page, "_write", lambda path, session, title: shown.append(session.own["odd.bin"]))
    (tmp_path / "odd.bin").write_bytes(points.astype(">f8").tobytes())
    told = ["--columns", "x,y,z,_,_,_", "--dtype", ">float64", "--scale", "0.5", "--frame", "y,-x,z"]
    result = RUNNER.invoke(app, ["explore", str(tmp_path / "odd.bin"), "--out", str(tmp_path / "page.html"), *told])
    assert result.exit_code == 0, result.output
    turned = np.stack([points[:, 1], -points[:, 0], points[:, 2]], axis=1)
    np.testing.assert_allclose(shown[0], 0.5 * turned, rtol=1e-6)


def test_options_of_a_file_need_a_file(tmp_path: Path):
    result = RUNNER.invoke(app, ["explore", "--out", str(tmp_path), "--columns", "4"])
    assert str(result.exception) == "--columns is about your own file: name the file"


def test_predict_and_explore_have_the_same_options():
    shared = {"--columns", "--dtype", "--scale", "--frame", "--origin"}
    assert shared <= options_of("predict") and shared <= options_of("explore")
