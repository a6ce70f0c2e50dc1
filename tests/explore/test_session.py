"""The choices and views of an explorer, with and without trained networks, tested without a browser."""

from __future__ import annotations

import re
import string
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from topokd import params as P
from topokd.data import Scan
from topokd.errors import DataError, ParameterError
from topokd.explore import Session, filtration_explorer, page, write_page
from topokd.explore.files import read_points, read_upload
from topokd.explore.frontend import MODULES, module, read_web
from topokd.explore.networks import Network, View, colourings, look_at, networks, profiles
from topokd.explore.packing import pack, quantize, to_text
from topokd.explore.page import write_pages
from topokd.explore.session import CYCLES_AT_ONCE, NETWORKS
from topokd.explore.sources import RAW, SourceOptions
from topokd.models import build_model
from topokd.models.checkpoint import save_checkpoint

BASE64 = string.ascii_letters + string.digits + "+/="


@pytest.fixture
def no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is not a checkout."""
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    return tmp_path


def small_scan() -> Scan:
    rng = np.random.default_rng(0)
    xyz = rng.uniform(-8, 8, (600, 3)).astype(np.float32)
    return Scan(xyz, rng.random(600, dtype=np.float32), rng.integers(-1, 4, 600), np.zeros(600, np.int64), "small")


def test_sessions_work_without_a_project_and_say_which_views_a_project_adds(no_project: Path):
    session = Session("filtration", points=32)
    scene = session.scene()
    assert session.sources() == ["circle", "figure eight", "torus", "clusters", "sphere"]
    assert len(scene["clouds"][0]["positions"]) == 32 and "make repro" in scene["note"]
    session.choose(source="torus", points=64)
    assert len(session.scene()["clouds"][0]["positions"]) == 64
    loss = Session("loss", points=32)
    assert loss.choice.source == "circle" and loss.scene()["loss"]["value"] > 0


def test_a_profile_that_cannot_be_read_is_left_out_with_its_reason(no_project: Path, caplog: pytest.LogCaptureFixture):
    (no_project / "conf").mkdir()
    (no_project / "params.yaml").write_text("seeds: [0]\n")
    (no_project / "conf" / "good.yaml").write_text("seeds: [1]\n")
    (no_project / "conf" / "bad.yaml").write_text("sedes: [1]\n")
    session = Session("filtration", {"mine": np.random.default_rng(0).normal(size=(40, 3))}, points=32)
    assert len(session.scene()["clouds"]) == 1 and profiles() == ["default", "good"]
    assert "profile bad is left out" in caplog.text and "sedes" in caplog.text


def test_a_wrong_choice_lists_the_right_ones(no_project: Path):
    session = Session("filtration", points=32)
    with pytest.raises(ParameterError, match="source is 'cube'; choose one of 'circle'"):
        session.choose(source="cube")
    with pytest.raises(ParameterError, match="'stage' cannot be chosen here; choose source, points"):
        session.choose(stage=2)
    with pytest.raises(ParameterError, match="only the loss"):
        session.step(0.1)


def test_degree_two_comes_with_an_engine_that_computes_it(no_project: Path):
    session = Session("filtration", points=32)
    session.choose(engine="reduced")
    session.choose(max_dim=2)
    assert session.choice.engine == "auto"
    assert len(session.scene()["clouds"][0]["pairs"]) == 3


def test_the_torus_of_a_page_has_two_loops_and_one_void(no_project: Path):
    """As in Figure 4; points drawn independently leave holes, through which the void is lost."""
    pytest.importorskip("gph")
    session = Session("filtration", points=192, max_dim=2, all_cycles=True)
    session.choose(source="torus")
    (cloud,) = session.scene()["clouds"]
    assert (len(cloud["positions"]), cloud["total"]) == (192, 3072)
    for degree, long in ((1, 2), (2, 1)):
        values = cloud["pairs"][degree]["values"]
        persistence = np.sort(values[:, 1] - values[:, 0])[::-1]
        assert persistence[long - 1] > 2 * persistence[long], (degree, persistence[:4])


def test_the_reference_engine_rejects_clouds_that_would_take_minutes(no_project: Path):
    session = Session("filtration", points=256)
    session.choose(engine="reference")
    with pytest.raises(ParameterError, match="256 points have 2,763,520 of 3 vertices: choose at most 67 points"):
        session.scene()
    session.choose(points=64)
    assert len(session.scene()["clouds"][0]["pairs"]) == 2
    session.choose(max_dim=2)
    with pytest.raises(ParameterError, match="of 4 vertices: choose at most 34 points"):
        session.scene()


def test_a_sphere_has_one_void(no_project: Path):
    session = Session("filtration", points=256, max_dim=2)
    session.choose(source="sphere")
    voids = session.scene()["clouds"][0]["pairs"][2]["values"]
    lives = np.sort(voids[:, 1] - voids[:, 0])
    assert lives[-1] > 0.5 and (len(lives) == 1 or lives[-2] < 0.2)


def test_coordinates_are_not_moved_onto_a_sphere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Rows of unit length are what the loss compares; of points in space they would show the loops of a sphere."""
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    session = Session("filtration")
    monkeypatch.setattr(session.networks, "available", lambda: True)
    entries = [("network", "network", "", ["full-seed0", RAW])]
    monkeypatch.setattr(session.networks, "choosers", lambda options, kind: entries)
    monkeypatch.setattr(session.networks, "choose", lambda options, name, value: replace(options, **{name: value}))
    session.choose(source=NETWORKS)
    assert (session.choice.options.network, session.choice.normalize) == (RAW, "none")
    session.choose(network="full-seed0")
    assert session.choice.normalize == "l2"
    session.choose(normalize="standardize")
    session.choose(points=64)
    assert session.choice.normalize == "standardize"
    session.choose(network=RAW)
    assert session.choice.normalize == "none"


def test_networks_are_found_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    params = P.Params(rows={"full": {"label": "Full", "short": "F", "color": "#aa0000", "terms": {}}})
    monkeypatch.setattr(P.Params, "workspace", property(lambda self: tmp_path))
    assert networks(params) == []
    (tmp_path / "checkpoints").mkdir()
    for name in ("full-seed1", "full-seed0", "teacher", "other-seed2"):
        (tmp_path / "checkpoints" / f"{name}.safetensors").touch()
    listed = networks(params)
    assert [n.name for n in listed] == ["teacher", "full-seed0", "full-seed1", "other-seed2"]
    assert [n.label for n in listed] == ["Teacher", "Full, seed 0", "Full, seed 1", "other, seed 2"]
    assert [n.teacher for n in listed] == [True, False, False, False]


def test_two_networks_look_at_the_same_rows(tmp_path: Path):
    view = View(small_scan(), 0.5, ("a", "b", "c", "d"), ((0, 0, 0),) * 4)
    looks = {}
    for name in ("one", "two"):
        save_checkpoint(tmp_path / f"{name}.safetensors", build_model("ptv3-tiny", num_classes=4))
        looks[name] = look_at(view, Network(name, name, "#000000", False, tmp_path / f"{name}.safetensors"))
    for index in range(len(looks["one"].features)):
        rows = len(view.stage(index).positions)
        assert len(looks["one"].features[index]) == len(looks["two"].features[index]) == rows
        saliency = looks["one"].saliency[index]
        assert saliency.min() == 0 and saliency.max() <= 1
        cell = 0.5 * 2**index  # each row's position lies in its voxel
        low = view.batch.coord.double().numpy().min(axis=0)
        keys = view.stage(index).keys
        assert (np.abs(view.stage(index).positions - low - cell * (keys + 0.5)).max()) < cell + 0.5
    for one in colourings(view, looks):
        assert one["values"].dtype == np.uint8 and len(one["values"]) == 600
    names = [one["name"] for one in colourings(view, looks)]
    assert names[:3] == ["ground truth", "prediction of one", "errors of one"]
    assert "saliency of two, stage 0" in names


def test_own_points_come_from_arrays_and_files(tmp_path: Path):
    points = np.random.default_rng(0).normal(size=(20, 7))
    np.save(tmp_path / "features.npy", points)
    np.testing.assert_array_equal(read_points(tmp_path / "features.npy"), points)
    rows = points[:, :4].astype(np.float32)
    rows[:, 3] = 0.5
    np.testing.assert_allclose(read_upload("scan.bin", rows.tobytes()), rows[:, :3])
    for source, words in (
        (tmp_path / "nothing.npy", "does not exist"),
        (np.zeros((2, 2)), r"shape \(2, 2\)"),
        (np.full((4, 2), np.nan), "row 0 holds NaN"),
        ("text", "not readable"),
    ):
        with pytest.raises(DataError, match=words):
            read_points(source)
    with pytest.raises(DataError, match=r"notes\.txt cannot be read; choose one of"):
        read_upload("notes.txt", b"")


def test_own_files_are_read_by_the_options_given(tmp_path: Path):
    points = np.random.default_rng(0).normal(0, 20, (30, 5))
    points.astype(">f8").tofile(tmp_path / "odd.bin")
    told = {"columns": 5, "dtype": ">float64", "scale": 0.001}
    np.testing.assert_allclose(read_points(tmp_path / "odd.bin", **told), 0.001 * points[:, :3], rtol=1e-6)
    np.save(tmp_path / "scan.npy", points)
    assert read_points(tmp_path / "scan.npy").shape == (30, 5)
    assert read_points(tmp_path / "scan.npy", columns=5).shape == (30, 3)  # a scan, not features
    with pytest.raises(DataError, match="columns are for files: array is list, leave them out"):
        read_points([[0, 1], [2, 3], [4, 5]], columns=2)


def test_a_message_names_options_as_its_reader_can_give_them(tmp_path: Path, no_project: Path):
    rows = np.random.default_rng(0).normal(0, 20, (30, 4)).astype(np.float32).tobytes() + b"end"
    (tmp_path / "odd.bin").write_bytes(rows)
    with pytest.raises(DataError, match="give columns= and dtype=$"):
        filtration_explorer(str(tmp_path / "odd.bin"))
    with pytest.raises(
        DataError, match=r"^odd.bin has .* give columns= and dtype=; .*read_points\('odd.bin', \.\.\.\) returns$"
    ):
        read_upload("odd.bin", rows)


def test_a_page_holds_everything_and_no_address(tmp_path: Path, no_project: Path):
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(24, 6)), rng.normal(size=(24, 9))
    write_page(tmp_path / "loss.html", "loss", (student, teacher), num_points=24)
    text = (tmp_path / "loss.html").read_text()
    addresses = set(re.findall(r"https?://[^\s\"'`<]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a name, not a place
    assert "showPage(" in text and len(text) < 200_000


def test_pages_with_a_real_scan_go_to_a_separate_folder(
    tmp_path: Path, no_project: Path, monkeypatch: pytest.MonkeyPatch
):
    """The licences of most data sets do not allow publishing their scans; results/ is in git."""
    monkeypatch.setattr(page, "_write", lambda *_: None)
    monkeypatch.setattr(Session, "shows_real_scan", lambda self: self.kind != "filtration")
    files = write_pages(tmp_path / "results", real_scans=tmp_path / "workspace")
    assert [file.parent.name for file in files] == ["results", "workspace", "workspace"]
    assert {file.parent.name for file in write_pages(tmp_path / "all")} == {"all"}


@pytest.mark.parametrize(("dataset", "real"), [("synthetic", False), ("semantickitti", True), ("rellis", True)])
def test_only_scans_of_the_synthetic_world_are_not_real(
    dataset: str, real: bool, no_project: Path, monkeypatch: pytest.MonkeyPatch
):
    session = Session("scene")
    assert not session.shows_real_scan()  # no profile, so no scan
    params = P.Params(profile="mine", data=P.Params().data.replace(dataset=dataset))
    monkeypatch.setattr(session.networks, "params", lambda _: params)
    session.choice = replace(session.choice, options=SourceOptions(profile="mine"))
    assert session.shows_real_scan() == real


def test_packing_is_for_typed_arrays_only():
    with pytest.raises(TypeError, match="int64"):
        pack({"a": np.arange(3)})
    assert pack({"x": float("nan"), "y": np.float32(1.5)}) == {"x": None, "y": 1.5}
    assert not set(to_text(pack({"a": "</script>", "b": np.arange(3.0)}))) - set(BASE64)
    assert to_text(pack({"a": np.arange(4.0)})) == to_text(pack({"a": np.arange(4.0)}))  # no date in it


@pytest.mark.parametrize("shape", [(7,), (50, 3), (0, 3), (1, 2)])
def test_sixteen_bits_keep_order_and_ends(shape: tuple[int, ...]):
    values = np.sort(np.random.default_rng(0).normal(size=shape), axis=0).astype(np.float32)
    packed = quantize({"a": [values]})["a"][0]
    if not values.size:
        assert packed is values
        return
    back = np.array(packed["low"]) + np.array(packed["step"]) * packed["codes"].reshape(len(values), -1)
    spread = np.ptp(values.reshape(len(values), -1), axis=0)
    assert (np.abs(back - values.reshape(len(values), -1)) <= spread / 131_070 * 1.01 + 1e-7).all()
    assert (np.diff(back, axis=0) >= 0).all()
    assert quantize(np.zeros(3))[0] == 0.0  # float64 is left as it is


def test_cycles_of_large_clouds_are_made_when_asked_for(no_project: Path):
    small, large = Session("filtration", points=64), Session("filtration", points=CYCLES_AT_ONCE + 1)
    assert small.scene()["clouds"][0]["cycles"] is not None
    cloud = large.scene()["clouds"][0]
    assert cloud["cycles"] is None
    (cycles,) = large.cycles()
    assert len(cycles["starts"]) == len(cloud["pairs"][1]["values"]) + 1
    loss = Session("loss", points=32)
    loss.scene()
    loss.step(0.05)
    assert len(loss.cycles()) == 2 and loss.cycles()[0]["edges"].tolist() == pack_cycles(loss)


def pack_cycles(session: Session) -> list[list[int]]:
    """Edges of the cycles that come with the student after the last step."""
    assert session.steps is not None
    edges: list[list[int]] = session.steps.changes()["student"]["cycles"]["edges"].tolist()
    return edges


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_short_and_import_only_one_another(name: str):
    text = read_web(f"{name}.js")
    assert len(text.splitlines()) < 300
    imports = re.findall(r'^import .* from "(.*)";$', text, re.MULTILINE)
    assert all(path.removeprefix("./").removesuffix(".js") in MODULES[: MODULES.index(name)] for path in imports)


def test_the_bundle_defines_every_name_once():
    names = re.findall(r"^(?:const|class|(?:async )?function) (\w+)", module(), re.MULTILINE)
    assert len(names) == len(set(names))
    assert "import {" not in module() and module().count("export default") == 1
