import copy
import dataclasses
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.optim.swa_utils import AveragedModel

import topokd
from topokd.errors import CheckpointError, ParameterError
from topokd.models import PointTransformerV3, build_model, load_checkpoint, read_metadata, save_checkpoint


@pytest.fixture(scope="module")
def model() -> PointTransformerV3:
    torch.manual_seed(0)
    return build_model("ptv3-tiny", num_classes=5, patch_size=64)


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return list(first) == list(second) and all(torch.equal(first[k], second[k]) for k in first)


def test_round_trip_builds_the_same_network(model: PointTransformerV3, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.safetensors", model, {"class_names": "a,b,c,d,e"})
    again: PointTransformerV3 = load_checkpoint(tmp_path / "a.safetensors")
    assert same(model, again)
    assert (again.config, again.preset, again.num_classes) == (model.config, "ptv3-tiny", 5)
    assert read_metadata(tmp_path / "a.safetensors")["class_names"] == "a,b,c,d,e"
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]  # no temporary left
    assert set(load_file(tmp_path / "a.safetensors")) == set(model.state_dict())  # any safetensors reader opens it


def test_equal_weights_are_equal_bytes(model: PointTransformerV3, tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        save_checkpoint(tmp_path / name, model, {str(i): "x" for i in range(9)})
    assert len({(tmp_path / name).read_bytes() for name in "abcd"}) == 1


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.module."])
@pytest.mark.parametrize("nest", [None, "state_dict"])
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_load_in_every_form_they_are_published_in(
    model: PointTransformerV3, tmp_path: Path, prefix: str, nest: str | None, zipped: bool
) -> None:
    state: Any = {prefix + name: value for name, value in model.state_dict().items()}
    content = {nest: state, "epoch": 3} if nest else state
    torch.save(content, tmp_path / "m.pth", _use_new_zipfile_serialization=zipped)
    fresh = build_model("ptv3-tiny", num_classes=5)
    assert load_checkpoint(tmp_path / "m.pth", fresh) is fresh
    assert same(model, fresh)


@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod.", "module.module."])
@pytest.mark.parametrize("strings", [None, {"format": "pt"}])
def test_safetensors_of_other_programs_load_strictly(
    model: PointTransformerV3, tmp_path: Path, prefix: str, strings: dict[str, str] | None
) -> None:
    state = {prefix + name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, tmp_path / "m.safetensors", strings)
    fresh = build_model("ptv3-tiny", num_classes=5)
    assert load_checkpoint(tmp_path / "m.safetensors", fresh) is fresh
    assert same(model, fresh)
    with pytest.raises(
        CheckpointError, match=r"topokd\.load\(path, preset=\.\.\.\) with one of ptv3-teacher, .*pass it as `model`"
    ):
        load_checkpoint(tmp_path / "m.safetensors")
    state[prefix + "extra"] = state.pop(prefix + "seg_head.bias")
    save_file(state, tmp_path / "n.safetensors", strings)
    with pytest.raises(CheckpointError, match=r"1 missing: seg_head\.bias; 1 unexpected: extra"):
        load_checkpoint(tmp_path / "n.safetensors", fresh)


def published(model: PointTransformerV3) -> dict[str, Any]:
    """A training state as the published trainer saves it."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=9)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    scheduler.step()
    return {
        "epoch": 3,
        "state_dict": {"module." + name: value for name, value in model.state_dict().items()},
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "scheduler of older torch": {"anneal_func": torch.optim.lr_scheduler.OneCycleLR._annealing_cos},
        "best_metric_value": np.mean([0.7, 0.9]),
        "others": [np.float32(1), np.int64(2), np.bool_(True), np.arange(3), np.dtype("f8")],
    }


@pytest.mark.parametrize("core", ["core", "_core"])  # numpy 1 and 2
@pytest.mark.parametrize("zipped", [True, False])
def test_the_weights_of_a_whole_training_state_are_loaded(
    model: PointTransformerV3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, core: str, zipped: bool
) -> None:
    for value in (np.float64(1), np.arange(3)):
        monkeypatch.setattr(value.__reduce__()[0], "__module__", f"numpy.{core}.multiarray")
    trained, path = copy.deepcopy(model), tmp_path / "model_best.pth"
    torch.save(published(trained), path, _use_new_zipfile_serialization=zipped)
    assert f"numpy.{core}.multiarray\nscalar".encode() in path.read_bytes()
    assert same(load_checkpoint(path, build_model("ptv3-tiny", num_classes=5, patch_size=64)), trained)
    assert not any("numpy" in str(known) for known in torch.serialization.get_safe_globals())


def test_map_location_moves_the_model(model: PointTransformerV3, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.safetensors", model)
    for given in (None, copy.deepcopy(model)):
        assert load_checkpoint(tmp_path / "a.safetensors", given, "meta").seg_head.weight.is_meta
        assert not load_checkpoint(tmp_path / "a.safetensors", None).seg_head.weight.is_meta


def test_a_network_whose_own_names_start_with_a_prefix_is_loaded(tmp_path: Path) -> None:
    wrapped = torch.nn.ModuleDict({"module": torch.nn.Linear(2, 2)})
    save_checkpoint(tmp_path / "a.safetensors", wrapped)
    assert load_checkpoint(tmp_path / "a.safetensors", copy.deepcopy(wrapped))


def test_weights_of_another_network_raise_and_leave_the_model_unchanged(
    model: PointTransformerV3, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "tiny.safetensors", model)
    student = build_model("ptv3-student-small", num_classes=5)
    before = student.seg_head.weight.clone()
    message = r"tiny\.safetensors.*found: ptv3-tiny, expected: ptv3-student-small"
    with pytest.raises(CheckpointError, match=message) as error:
        load_checkpoint(tmp_path / "tiny.safetensors", student)
    assert "instead of" in str(error.value) and len(str(error.value)) < 1000
    assert torch.equal(before, student.seg_head.weight)


def test_missing_and_unexpected_names_are_listed(model: PointTransformerV3, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "tiny.safetensors", model)
    deeper = build_model("ptv3-tiny", num_classes=5, enc_depths=(1, 1, 1, 2, 1))
    with pytest.raises(CheckpointError, match=r"18 missing: backbone\.enc\.enc3\.block1\.cpe\.0\.weight"):
        load_checkpoint(tmp_path / "tiny.safetensors", deeper)
    save_checkpoint(tmp_path / "deeper.safetensors", deeper)
    with pytest.raises(CheckpointError, match=r"18 unexpected: backbone\.enc\.enc3\.block1"):
        load_checkpoint(tmp_path / "deeper.safetensors", model)


@pytest.mark.parametrize("length", range(0x70, 0x90, 8))
def test_safetensors_of_any_header_length_are_not_mistaken_for_a_pickle(tmp_path: Path, length: int) -> None:
    layer, path = torch.nn.Linear(2, 2), tmp_path / "layer.safetensors"
    for padding in range(256):  # until the length of the header ends in this byte
        save_checkpoint(path, layer, {"note": "x" * padding})
        if path.read_bytes()[0] == length:
            break
    assert load_checkpoint(path, torch.nn.Linear(2, 2)).weight.equal(layer.weight)


def test_another_number_of_classes_is_named(model: PointTransformerV3, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "tiny.safetensors", model)
    with pytest.raises(CheckpointError, match=r"seg_head\.weight \(5, 8\) instead of \(7, 8\)"):
        load_checkpoint(tmp_path / "tiny.safetensors", build_model("ptv3-tiny", num_classes=7))


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("form", ["torch", "torch-legacy", "pickle"])
def test_malicious_pickles_do_not_run(model: PointTransformerV3, tmp_path: Path, form: str) -> None:
    content = {"state_dict": model.state_dict(), "payload": Malicious(tmp_path / "owned")}
    path = tmp_path / "malicious.pth"
    if form == "pickle":
        path.write_bytes(pickle.dumps(content["payload"]))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "torch")
    with pytest.raises(CheckpointError, match=r"malicious\.pth.*(nothing was loaded|damaged)"):
        load_checkpoint(path, model)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("foreign", "name"), [(Path("x"), "pathlib"), (Malicious(Path("x")), r"posix\.mkdir|nt\.mkdir")]
)
def test_a_foreign_object_is_named_with_the_fix(
    model: PointTransformerV3, tmp_path: Path, foreign: Any, name: str
) -> None:
    torch.save(published(copy.deepcopy(model)) | {"cfg": foreign}, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match=rf"\((?:{name}).*\).*torch\.save\(torch\.load\('m\.pth'"):
        load_checkpoint(tmp_path / "m.pth", model)


def test_a_forged_file_cannot_change_the_shared_types_of_numpy(model: PointTransformerV3, tmp_path: Path) -> None:
    class Forged:
        def __reduce__(self) -> tuple[Any, ...]:  # the shared float64 type, turned to another byte order
            return np.dtype, ("f8",), (3, ">", None, None, None, -1, -1, 0)

    torch.save(model.state_dict() | {"x": Forged()}, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match="does not hold a state_dict"):
        load_checkpoint(tmp_path / "m.pth", model)
    assert np.dtype("f8").isnative


@pytest.mark.parametrize("form", ["safetensors", "pth", "legacy.pth"])
@pytest.mark.parametrize("left", [0, 1, 5, 300, -1])
def test_truncated_files_are_named(model: PointTransformerV3, tmp_path: Path, form: str, left: int) -> None:
    path = tmp_path / f"cut.{form}"
    if form == "safetensors":
        save_checkpoint(path, model)
    else:
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=form == "pth")
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(CheckpointError, match=r"cut\."):
        load_checkpoint(path, model)


def test_missing_files_and_missing_metadata_are_named(model: PointTransformerV3, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.safetensors does not exist"):
        load_checkpoint(tmp_path / "gone.safetensors")
    torch.save(model.state_dict(), tmp_path / "m.pth")
    with pytest.raises(
        CheckpointError, match=r"topokd\.load\(path, preset=\.\.\.\) with one of ptv3-teacher, .*pass it as `model`"
    ):
        load_checkpoint(tmp_path / "m.pth")
    torch.save({"epoch": 3}, tmp_path / "n.pth")
    with pytest.raises(CheckpointError, match="does not hold a state_dict"):
        load_checkpoint(tmp_path / "n.pth", model)


@pytest.mark.invalid_arguments
def test_a_failed_write_keeps_the_old_file(model: PointTransformerV3, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, model)
    before = path.read_bytes()
    with pytest.raises(CheckpointError):
        save_checkpoint(path, model, {"steps": 3})  # type: ignore[dict-item]
    assert path.read_bytes() == before


def test_topokd_load_builds_a_trained_network_in_one_line(model: PointTransformerV3, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.safetensors", copy.deepcopy(model).train())
    for preset in (None, "ptv3-tiny"):
        network = topokd.load(str(tmp_path / "a.safetensors"), preset)
        assert same(network, model) and network.config == model.config and not network.training


@pytest.mark.parametrize("prefix", ["", "module."])
def test_topokd_load_reads_published_weights_of_a_named_preset(tmp_path: Path, prefix: str) -> None:
    model = build_model("ptv3-tiny", in_channels=6, num_classes=3)
    state = {prefix + name: value for name, value in model.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "m.pth")
    network = topokd.load(tmp_path / "m.pth", preset="ptv3-tiny")
    assert same(network, model) and (network.in_channels, network.num_classes) == (6, 3)
    with pytest.raises(CheckpointError, match=r"topokd\.load\(path, preset=\.\.\.\) with one of ptv3-teacher"):
        topokd.load(tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match=r"belongs to another network .*expected: ptv3-student-small"):
        topokd.load(tmp_path / "m.pth", preset="ptv3-student-small")
    with pytest.raises(ParameterError, match="unknown model preset 'ptv4': known here: ptv3-teacher"):
        topokd.load(tmp_path / "m.pth", preset="ptv4")


def test_topokd_load_explains_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.pth does not exist: check the path"):
        topokd.load(tmp_path / "gone.pth")
    (tmp_path / "notes.txt").write_text("no weights here")
    with pytest.raises(CheckpointError, match=r"notes\.txt is damaged, truncated, or not a checkpoint"):
        topokd.load(tmp_path / "notes.txt")
    save_file({"weight": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(
        CheckpointError, match=r"other\.safetensors does not hold the weights of a Point Transformer V3"
    ):
        topokd.load(tmp_path / "other.safetensors", preset="ptv3-tiny")


def test_importing_topokd_does_not_import_torch() -> None:
    code = "import sys, topokd; assert topokd.load and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


CONTRADICTIONS = {
    "class_names": "road,car",
    "num_classes": "1000000000",
    "in_channels": "7",
    "voxel_size": "wide",
    "sweeps": "two",
    "config": "[1]",
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_metadata_that_contradict_the_weights_are_rejected_before_anything_is_built(tmp_path, name):
    path = tmp_path / "m.safetensors"
    metadata = {"class_names": "a,b,c", "voxel_size": "0.1", "sweeps": "1"}
    save_checkpoint(path, build_model("ptv3-tiny", num_classes=3), {**metadata, name: CONTRADICTIONS[name]})
    with pytest.raises(CheckpointError, match=f"its metadata {name}"):
        load_checkpoint(path)


@pytest.mark.parametrize("config", ['{"enc_depths": [1e9]}', '{"enc_channels": [1, 1, 1, 1, 100000]}', "[" * 50_000])
def test_a_config_of_another_size_is_rejected(tmp_path, config):
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, build_model("ptv3-tiny", num_classes=3), {"config": config})
    with pytest.raises(CheckpointError, match="its metadata config"):
        load_checkpoint(path)


def test_a_compiled_network_is_stored_as_the_network_inside(tmp_path):
    model = build_model("ptv3-tiny", num_classes=3)
    save_checkpoint(tmp_path / "plain.safetensors", model)
    for wrapped in (torch.compile(torch.nn.DataParallel(model)), AveragedModel(model), torch.compile(model)):
        save_checkpoint(tmp_path / "compiled.safetensors", wrapped)
        assert (tmp_path / "compiled.safetensors").read_bytes() == (tmp_path / "plain.safetensors").read_bytes()


def test_parts_that_are_compiled_or_wrapped_change_no_name(tmp_path):
    """As after ``model.backbone = torch.compile(model.backbone)``: the file could not be loaded any more."""
    model, before = build_model("ptv3-tiny", num_classes=3), build_model("ptv3-tiny", num_classes=3)
    save_checkpoint(tmp_path / "plain.safetensors", model)
    torch.save({f"backbone._orig_mod.{k.removeprefix('backbone.')}" if k.startswith("backbone.") else k: v
                for k, v in model.state_dict().items()}, tmp_path / "compiled.pth")  # fmt: skip
    backbone = model.backbone
    for wrap in (torch.compile, lambda part: torch.compile(torch.nn.DataParallel(part)), torch.nn.DataParallel):
        model.backbone = wrap(backbone)
        save_checkpoint(tmp_path / "part.safetensors", model)
        assert (tmp_path / "part.safetensors").read_bytes() == (tmp_path / "plain.safetensors").read_bytes()
    for target in (model, torch.compile(before), before):  # wrapped networks are loaded into, too
        for value in target.parameters():
            torch.nn.init.zeros_(value)
        assert load_checkpoint(tmp_path / "compiled.pth", target) is target
        assert torch.equal(target.seg_head.weight, load_checkpoint(tmp_path / "plain.safetensors").seg_head.weight)


def test_a_width_of_the_mlps_that_the_weights_do_not_have_is_rejected_before_it_is_allocated(tmp_path):
    path, model = tmp_path / "m.safetensors", build_model("ptv3-tiny", num_classes=3)
    config = dataclasses.asdict(model.config) | {"mlp_ratio": 1024}
    save_checkpoint(path, model, {"config": json.dumps(config)})
    with pytest.raises(CheckpointError, match="config gives mlp_ratio the value 1024, but .*fc1.weight has"):
        load_checkpoint(path)


def test_tied_weights_are_saved_under_each_name(tmp_path):
    tied = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    save_checkpoint(tmp_path / "tied.safetensors", tied)
    other = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    load_checkpoint(tmp_path / "tied.safetensors", other)
    assert torch.equal(other[0].weight, tied[0].weight) and torch.equal(other[1].weight, tied[0].weight)


@pytest.mark.invalid_arguments
@pytest.mark.parametrize("metadata", [{"voxel_size": 0.5}, {"class_names": ["a"]}, {3: "a"}, {"run": None}])
def test_metadata_that_are_not_text_are_rejected_before_anything_is_written(model, tmp_path, metadata):
    with pytest.raises(CheckpointError, match="a checkpoint stores text"):
        save_checkpoint(tmp_path / "m.safetensors", model, metadata)
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("form", ["safetensors", "pth"])
def test_weights_that_are_not_finite_are_named(
    model: PointTransformerV3, tmp_path: Path, form: str, value: float
) -> None:
    state = model.state_dict() | {"seg_head.bias": torch.full((5,), value)}
    path = tmp_path / f"a.{form}"
    save_file(state, path) if form == "safetensors" else torch.save(state, path)
    with pytest.raises(CheckpointError, match=rf"a\.{form}: seg_head.bias holds NaN or infinity"):
        load_checkpoint(path, build_model("ptv3-tiny", num_classes=5, patch_size=64))


def test_a_negative_variance_is_named(model: PointTransformerV3, tmp_path: Path) -> None:
    state = {name: -1 - value if "running_var" in name else value for name, value in model.state_dict().items()}
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="running_var is negative, but it holds variances"):
        load_checkpoint(tmp_path / "a.safetensors", build_model("ptv3-tiny", num_classes=5, patch_size=64))


@pytest.mark.parametrize("text", ["1_0", "\N{ARABIC-INDIC DIGIT ONE}", "0x1p-4", "nan", "-0.1", "1e-400"])
def test_a_voxel_size_is_a_plain_number(model: PointTransformerV3, tmp_path: Path, text: str) -> None:
    save_checkpoint(tmp_path / "a.safetensors", model, {"voxel_size": text})
    with pytest.raises(CheckpointError, match="its metadata voxel_size is"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_weights_stored_as_whole_numbers_are_named(model: PointTransformerV3, tmp_path: Path) -> None:
    state = {name: value.int() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="is stored as int32, but it holds fractions"):
        load_checkpoint(tmp_path / "a.safetensors", build_model("ptv3-tiny", num_classes=5, patch_size=64))


@pytest.mark.invalid_arguments
@pytest.mark.parametrize(
    ("change", "words"),
    [({"intensity": "maybe"}, "intensity is 'maybe'"), ({"config": '{"shuffle_orders": 2}'}, "shuffle_orders is 2")],
)
def test_meaningless_metadata_are_rejected(tmp_path: Path, change: dict[str, str], words: str) -> None:
    save_checkpoint(tmp_path / "a.safetensors", build_model("ptv3-tiny", num_classes=2), change)
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(tmp_path / "a.safetensors")


def test_weights_of_one_byte_are_named(model: PointTransformerV3, tmp_path: Path) -> None:
    state = {k: v.to(torch.float8_e4m3fn) if v.is_floating_point() else v for k, v in model.state_dict().items()}
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="is stored as float8_e4m3fn, which has fewer than two digits"):
        load_checkpoint(tmp_path / "a.safetensors", build_model("ptv3-tiny", num_classes=5, patch_size=64))


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\n", "a pointer of Git LFS, not the weights"),
        (b"\n<!DOCTYPE html><html>", "a web page, not the weights"),
        (b"\x1f\x8b\x08\0" + bytes(20), "packed by gzip"),
        (b"outs:\n- md5: 1", "a pointer of DVC"),
    ],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_that_is_no_checkpoint_is_identified(tmp_path: Path, start: bytes, words: str, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(start)
    with pytest.raises(CheckpointError, match=f"is {words}"):
        topokd.load(tmp_path / f"a{suffix}")
