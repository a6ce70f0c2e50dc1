"""Parameter files: defaults, profiles, rows of the ablation, and errors that name the parameter and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.conftest import PROJECT
from topokd import params as P
from topokd.distillation import resolve_terms, term_notes
from topokd.errors import ParameterError
from topokd.parameter_listing import commented_yaml, markdown_table
from topokd.project import project_path

ROW = "label: A, short: a, color: '#ff0000'"


def write(folder: Path, text: str) -> Path:
    file = folder / "params.yaml"
    file.write_text(text)
    return file


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the committed params.yaml and an empty conf/."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "params.yaml").write_text((PROJECT / "params.yaml").read_text())
    monkeypatch.setenv("TOPOKD_ROOT", str(tmp_path))
    return tmp_path


def test_the_committed_file_has_the_comments_of_its_fields_and_complete_terms() -> None:
    params = resolve_terms(P.load("params.yaml"))
    assert (PROJECT / "params.yaml").read_text() == commented_yaml(params, term_notes()), (
        "comments or order of params.yaml are out of date: run `make format`"
    )


def test_the_committed_file_has_the_defaults_of_python() -> None:
    data = ("profiles", "real_profiles", "train_rows", "terms", "rows")  # no defaults in Python
    tree = yaml.safe_load((PROJECT / "params.yaml").read_text())
    defaults = P.to_dict(P.Params())
    assert {k: v for k, v in tree.items() if k not in data} == {k: v for k, v in defaults.items() if k not in data}


def test_every_parameter_has_a_description() -> None:
    notes = P.schema.descriptions(P.Params) | term_notes()
    assert [name for name, note in notes.items() if not note] == []


@pytest.mark.parametrize("profile", P.profile_names())
def test_every_profile_resolves_and_its_terms_are_complete(profile: str, tmp_path: Path) -> None:
    params = resolve_terms(P.load_profile(profile))
    assert params.profile == profile and set(params.train_rows) <= set(params.rows)
    for row in params.rows.values():
        for name, options in row.terms.items():
            assert set(options) == set(params.terms[name])
    P.dump(params, tmp_path / "resolved.yaml")
    read = P.load(tmp_path / "resolved.yaml")
    assert read == params.replace(profiles=read.profiles, real_profiles=read.real_profiles)


def test_a_profile_lists_differences_from_the_profile_that_it_extends(project: Path) -> None:
    (project / "conf/paper.yaml").write_text("data: {voxel_size: 0.05}\ntrain: {batch_size: 12, amp: bf16}\n")
    (project / "conf/mine.yaml").write_text(
        "extends: paper\ntrain: {batch_size: 4}\nterms: {topo: {num_points: 1024}}\n"
    )
    params = P.load_profile("mine")
    assert (params.profile, params.data.voxel_size, params.train.amp, params.train.batch_size) == (
        "mine", 0.05, "bf16", 4,
    )  # fmt: skip
    assert params.rows["full"].terms["topo"]["num_points"] == 1024
    assert params.data_root == project / "workspace/mine/data"


def test_a_profile_that_extends_itself_is_an_error(project: Path) -> None:
    (project / "conf/a.yaml").write_text("extends: b\n")
    (project / "conf/b.yaml").write_text("extends: a\n")
    with pytest.raises(ParameterError, match=r"conf/a.yaml extends itself: conf/a.yaml <- conf/b.yaml"):
        P.load_profile("a")


def test_a_missing_profile_lists_those_that_exist(project: Path) -> None:
    (project / "conf/waymo.yaml").write_text("data: {dataset: waymo}\n")
    with pytest.raises(ParameterError, match="there is no profile 'wymo'; profiles: default, waymo"):
        P.load_profile("wymo")


def test_a_missing_profile_that_another_extends_names_the_other(project: Path) -> None:
    (project / "conf/mine.yaml").write_text("extends: wymo\n")
    with pytest.raises(ParameterError, match=r"'wymo', which conf/mine.yaml extends; profiles: default, mine"):
        P.load_profile("mine")


def test_a_row_is_added_by_editing_params_yaml_only(project: Path) -> None:
    tree = yaml.safe_load((project / "params.yaml").read_text())
    tree["rows"]["topo"] = {"label": "Student, topology", "short": "topology", "color": "green", "terms": ["topo"]}
    tree["train_rows"].append("topo")
    (project / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    params = resolve_terms(P.load_profile("default"))
    assert params.rows["topo"].terms == {"topo": params.terms["topo"]} and params.train_rows[-1] == "topo"


def test_a_row_may_override_parameters_of_its_terms(tmp_path: Path) -> None:
    text = "terms: {kd: {weight: 0.3, temperature: 2.0}}\nrows: {a: {%s, terms: {kd: {temperature: 3.0}}}}"
    params = P.load(write(tmp_path, text % ROW))
    assert params.rows["a"].terms == {"kd": {"weight": 0.3, "temperature": 3.0}}
    changed = params.with_term("kd", weight=0.5)
    assert changed.rows["a"].terms == {"kd": {"weight": 0.5, "temperature": 3.0}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trian: {}", r"unknown parameter 'trian'; did you mean 'train'"),
        ("data: {augment: {flp: 1}}", r"unknown parameter 'data.augment.flp'; did you mean 'flip'"),
        (f"rows: {{a: {{{ROW}, lable: B}}}}", r"unknown parameter 'rows.a.lable'; did you mean 'label'"),
        ("rows: {a: {label: A, short: a}}", r"rows.a.color is missing"),
        ("train: {batch_size: two}", r"train.batch_size must be a whole number, not 'two'"),
        ("train: {batch_size: 0}", r"train.batch_size is 0; it must be 1 or more"),
        ("train: {batch_size: true}", r"train.batch_size must be a whole number, not True"),
        ("train: {batch_size: 1.5}", r"train.batch_size must be a whole number, not 1.5"),
        ("train: {amp: fp8}", r"train.amp is 'fp8'; choose one of off, bf16, fp16"),
        ("train: {checkpointing: 1}", r"train.checkpointing must be true or false, not 1"),
        ("train: {norm_momentum: 0}", r"train.norm_momentum is 0; it must be above 0"),
        ("data: {voxel_size: -1}", r"data.voxel_size is -1; it must be above 0"),
        ("data: {voxel_size: true}", r"data.voxel_size is True; it must be a number"),
        ("data: {voxel_size: fine}", r"data.voxel_size must be a number, not 'fine'"),
        ("data: {dataset: 3}", r"data.dataset must be text, not 3"),
        ("data: {augment: {scale: [1]}}", r"data.augment.scale is too short: \[1\]"),
        ("data: {augment: {scale: [2, 1]}}", r"data.augment.scale is .*2.*1.*; it must be two positive numbers"),
        ("data: {augment: {flip: 2}}", r"data.augment.flip is 2; it must be at most 1"),
        ("data: {point_range: [1, 2]}", r"data.point_range is .*; it must be empty or six numbers"),
        ("data: {synthetic: {val_sequences: [1, x]}}", r"data.synthetic.val_sequences\[1\] must be a whole number"),
        ("data: 3", r"data must be a mapping of names to values, not 3"),
        ("seeds: []", r"seeds must have 1 entries, not 0"),
        (f"train_rows: [best]\nrows: {{base: {{{ROW}}}}}", r"train_rows names 'best', which is not in `rows`"),
        (
            f"terms: {{topo: {{}}}}\nrows: {{a: {{{ROW}, terms: [tpo]}}}}",
            r"names 'tpo'.*did you mean 'topo'",
        ),
        (f"rows: {{a: {{{ROW}, compare: {{b: {{}}}}}}}}", r"rows.a.compare names 'b', which is not in `rows`"),
        ("[1, 2]", r"must be a mapping of names to values"),
        ("a: [", r"not valid YAML"),
        (
            "a: 1\n<<<<<<< HEAD\nb: 2\n=======\nb: 3\n>>>>>>> other\n",
            r"params.yaml: line 2 begins a conflict .* \(git\)",
        ),
        ("day: 2024-13-45", r"not valid YAML: month must be in 1..12"),
        ("a: !!int many", r"not valid YAML: invalid literal"),
        ("a: 0x", r"unknown parameter 'a'"),
        ("[" * 5000, r"not valid YAML"),
        ("a: " + "9" * 5000, r"not valid YAML|unknown parameter"),
        (f"rows: {{a: {{{ROW}, terms: 3}}}}", r"rows.a.terms must be a mapping"),
        (f"rows: {{a: {{{ROW}, terms: [[1]]}}}}", r"rows.a.terms must be a mapping"),
        (f"terms: [kd]\nrows: {{a: {{{ROW}, terms: [kd]}}}}", r"terms must be a mapping"),
        (f"terms: {{kd: 3}}\nrows: {{a: {{{ROW}, terms: [kd]}}}}", r"terms.kd must be a mapping"),
        (f"terms: {{kd: {{}}}}\nrows: {{a: {{{ROW}, terms: {{kd: 3}}}}}}", r"rows.a.terms.kd must be a mapping"),
        ("seeds: [3, 1, 3]", r"seeds holds 3 twice"),
        (f"train_rows: [a, a]\nrows: {{a: {{{ROW}}}}}", r"train_rows holds 'a' twice"),
        ("data: {augment: {rotation_deg: 1.0e308}}", r"data.augment.rotation_deg is '1.0e308'; it must be at most 360"),
        (
            "data: {point_range: [1, 2, 3, 0, 5, 6]}",
            r"data.point_range is .*; it must be x, y, z from, then x, y, z to",
        ),
        ("data: {synthetic: {seed: -1}}", r"data.synthetic.seed is -1; it must be 0 or more"),
        ("evaluation: {tta: 1000000}", r"evaluation.tta is 1000000; it must be at most 3600"),
    ],
)
def test_wrong_files_name_the_file_the_parameter_and_the_fix(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ParameterError, match=message) as caught:
        P.load(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("name", ["", "../params", "labels/goose", "/etc/passwd", ".hidden", "a b"])
def test_a_profile_is_the_name_of_a_file_in_conf(name: str) -> None:
    with pytest.raises(ParameterError, match="there is no profile .*; profiles: default, "):
        P.load_profile(name)


def test_all_wrong_parameters_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"data.voxel_size is 0; .*; train.epochs is 0; "):
        P.load(write(tmp_path, "data: {voxel_size: 0}\ntrain: {epochs: 0}"))


def test_parameters_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        P.Params().data.voxel_size = 1.0


def test_exponents_that_yaml_reads_as_text_are_numbers(tmp_path: Path) -> None:
    assert P.load(write(tmp_path, "train: {optimizer: {lr: 1e-3}}")).train.optimizer.lr == 1e-3


def test_a_table_of_all_parameters_is_generated_for_the_documentation() -> None:
    table = markdown_table(P.load_profile("default"), term_notes())
    assert "| `train.epochs` | `50` | where the steps are 0 (C.2) |" in table.splitlines()
    assert "| `terms.kd.temperature` | `2.0` | T; the loss is scaled by T^2 |" in table.splitlines()


def test_data_root_takes_an_environment_variable_or_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    params = P.load(write(tmp_path, "data: {root: '${TOPOKD_SOMEWHERE:-../there}/scans'}"))
    monkeypatch.delenv("TOPOKD_SOMEWHERE", raising=False)
    assert params.data_root == project_path("../there/scans")
    monkeypatch.setenv("TOPOKD_SOMEWHERE", str(tmp_path))
    assert params.data_root == tmp_path / "scans"


def test_an_unset_environment_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TOPOKD_NOWHERE", raising=False)
    params = P.load(write(tmp_path, "data: {root: '${TOPOKD_NOWHERE}'}"))
    with pytest.raises(ParameterError, match="TOPOKD_NOWHERE.*not set"):
        _ = params.data_root


def test_the_cache_folder_is_none_or_a_path_and_an_unset_variable_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("TOPOKD_CACHE", raising=False)
    assert P.Params().cache_folder is None
    optional = P.load(write(tmp_path, "train: {cache: '${TOPOKD_CACHE:-}'}"))
    assert optional.cache_folder is None
    monkeypatch.setenv("TOPOKD_CACHE", str(tmp_path))
    assert optional.cache_folder == tmp_path
    assert P.load(write(tmp_path, "train: {cache: workspace/cache}")).cache_folder == project_path("workspace/cache")
    monkeypatch.delenv("TOPOKD_CACHE")
    with pytest.raises(ParameterError, match="train.cache is .*TOPOKD_CACHE.*not set"):
        _ = P.load(write(tmp_path, "train: {cache: '${TOPOKD_CACHE}/scans'}")).cache_folder


def test_off_without_quotes_means_off(project: Path) -> None:
    """YAML 1.1 reads it as false; `dvc exp run -S` writes it so."""
    file = project / "params.yaml"
    file.write_text(file.read_text().replace("amp: 'off'", "amp: off"))
    assert P.load_profile("default").train.amp == "off"
