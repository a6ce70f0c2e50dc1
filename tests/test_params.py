"""params.yaml equals the defaults; wrong files get an error that names the file, the parameter and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.conftest import PROJECT
from topokd import params as P
from topokd.errors import ParameterError

PROFILES = sorted(path.parent.name for path in (PROJECT / "conf").glob("*/params.yaml"))


def write(folder: Path, text: str) -> Path:
    file = folder / "params.yaml"
    file.write_text(text)
    return file


def test_params_yaml_is_the_dataclass_tree():
    assert yaml.safe_load((PROJECT / "params.yaml").read_text()) == P.to_dict(P.Params())


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_resolves_and_names_its_own_folders(profile: str):
    params = P.load(PROJECT / "conf" / profile / "params.yaml")
    assert params.pipeline.profile == profile
    assert (PROJECT / "conf" / profile / params.pipeline.root).resolve() == PROJECT
    assert (PROJECT / "conf" / profile / "dvc.yaml").read_text() == (PROJECT / "dvc.yaml").read_text()


def test_round_trip(tmp_path: Path):
    params = P.load(PROJECT / "conf/smoke/params.yaml")
    P.dump(params, tmp_path / "resolved.yaml")
    assert P.load(tmp_path / "resolved.yaml") == params


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("distill: {lambda_top: 1}", r"unknown parameter 'distill.lambda_top'; did you mean 'lambda_topo'"),
        ("trian: {}", r"unknown parameter 'trian'; did you mean 'train'"),
        ("train: {batch_size: two}", r"train.batch_size must be int, not 'two'"),
        ("train: {batch_size: 0}", r"train.batch_size is 0; it must be 1 or more"),
        ("train: {batch_size: true}", r"train.batch_size must be int"),
        ("data: {voxel_size: -1}", r"data.voxel_size is -1.0; it must be positive"),
        ("data: {dataset: kitti}", r"data.dataset is 'kitti'; choose one of synthetic, semantickitti"),
        ("data: {augment: {scale: [1]}}", r"data.augment.scale must have 2 entries"),
        ("data: {dataset: waymo, sweeps: 2}", r"data.sweeps is 2; it must be 1: Waymo's reader"),
        ("data: 3", r"data\.? must be a mapping"),
        ("pipeline: {variants: [best]}", r"pipeline.variants is 'best'; it must be among plain"),
        ("distill: {topology: {dims: [3]}}", r"distill.topology.dims"),
        ("distill: {topology: {time_limit: 0}}", r"distill.topology.time_limit is 0.0; it must be null, or positive"),
        ("distill: {topology: {time_limit: 1, engine: giotto-ph}}", r"distill.topology.time_limit is 1.0; .*no other"),
        ("a: [", r"not valid YAML"),
    ],
)
def test_wrong_files_name_the_parameter_and_the_fix(tmp_path: Path, text: str, message: str):
    file = write(tmp_path, text)
    with pytest.raises(ParameterError, match=message) as caught:
        P.load(file)
    assert str(file) in str(caught.value)


def test_missing_file_lists_the_profiles(tmp_path: Path):
    with pytest.raises(ParameterError, match="profiles in conf/: .*smoke"):
        P.load(tmp_path / "none.yaml")


def test_exponents_that_yaml_reads_as_text_are_numbers(tmp_path: Path):
    assert P.load(write(tmp_path, "distill: {topology: {eps: 1e-8}}")).distill.topology.eps == 1e-8


def test_data_root_takes_an_environment_variable_or_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    params = P.load(write(tmp_path, "data: {root: '${TOPOKD_SOMEWHERE:-../there}/scans'}"))
    monkeypatch.delenv("TOPOKD_SOMEWHERE", raising=False)
    assert params.data_root == P.project_path("../there/scans")
    monkeypatch.setenv("TOPOKD_SOMEWHERE", str(tmp_path))
    assert params.data_root == tmp_path / "scans"


def test_unset_environment_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TOPOKD_NOWHERE", raising=False)
    params = P.load(write(tmp_path, "data: {root: '${TOPOKD_NOWHERE}'}"))
    with pytest.raises(ParameterError, match="TOPOKD_NOWHERE.*not set"):
        _ = params.data_root


def test_cache_folder_is_none_or_a_folder_or_names_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TOPOKD_CACHE", raising=False)
    assert P.Params().cache_folder is None
    params = P.load(PROJECT / "conf/semantickitti/params.yaml")
    assert params.cache_folder is None
    monkeypatch.setenv("TOPOKD_CACHE", str(tmp_path))
    assert params.cache_folder == tmp_path
    assert P.load(write(tmp_path, "train: {cache: workspace/cache}")).cache_folder == P.project_path("workspace/cache")
    monkeypatch.delenv("TOPOKD_CACHE")
    with pytest.raises(ParameterError, match="train.cache is .*TOPOKD_CACHE.*not set"):
        _ = P.load(write(tmp_path, "train: {cache: '${TOPOKD_CACHE}/scans'}")).cache_folder
