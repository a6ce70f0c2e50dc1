"""Checkpoints of programs that wrap networks, and checkpoints that describe what they do not hold."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.optim.swa_utils import AveragedModel

import topokd
from topokd.errors import CheckpointError
from topokd.models import PointTransformerV3, build_model, load_checkpoint, read_metadata, save_checkpoint


@pytest.fixture(scope="module")
def model() -> PointTransformerV3:
    torch.manual_seed(0)
    return build_model("ptv3-tiny", in_channels=5, num_classes=3)


def state_of(model: torch.nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in model.state_dict().items()}


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return list(first) == list(second) and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("prefix", ["model.", "net.", "student.", "model.module.", "model._orig_mod.", "a.b.c."])
def test_a_lightning_checkpoint_is_loaded(model: PointTransformerV3, tmp_path: Path, prefix: str) -> None:
    content = {"state_dict": state_of(model, prefix), "pytorch-lightning_version": "2.5", "loops": {}, "callbacks": {}}
    torch.save(content, tmp_path / "last.ckpt")
    network = topokd.load(tmp_path / "last.ckpt", preset="ptv3-tiny")
    assert same(network, model) and (network.in_channels, network.num_classes) == (5, 3)
    assert same(load_checkpoint(tmp_path / "last.ckpt", build_model("ptv3-tiny", 5, 3)), model)


def test_a_prefix_in_our_own_files_is_removed_and_metadata_are_still_checked(
    model: PointTransformerV3, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, model, {"class_names": "a,b,c"})
    state, metadata = {f"model.{name}": value for name, value in load_file(path).items()}, read_metadata(path)
    save_file(state, path, metadata)
    assert same(load_checkpoint(path), model)
    save_file(state, path, metadata | {"num_classes": "4"})
    with pytest.raises(CheckpointError, match="its metadata num_classes is 4, but the weights have 3 classes"):
        load_checkpoint(path)


def test_a_few_weights_beside_the_network_are_left_out_and_said(
    model: PointTransformerV3, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    averaged = AveragedModel(model)
    torch.save(averaged.state_dict(), tmp_path / "averaged.pth")  # has n_averaged in addition to module.*
    torch.save({"state_dict": state_of(model, "model.") | {"criterion.weight": torch.ones(3)}}, tmp_path / "last.ckpt")
    for name in ("averaged.pth", "last.ckpt"):
        with caplog.at_level(logging.WARNING):
            assert same(topokd.load(tmp_path / name, preset="ptv3-tiny"), model)
        assert f"{name} holds other weights beside those of the network" in caplog.text


def test_two_networks_in_one_file_are_named_with_the_fix(model: PointTransformerV3, tmp_path: Path) -> None:
    other = build_model("ptv3-tiny", in_channels=5, num_classes=3, enc_depths=(1, 1, 1, 2, 1))
    torch.save({"state_dict": state_of(other, "teacher.") | state_of(model, "student.")}, tmp_path / "both.ckpt")
    words = (
        r"begin with teacher\. or student\., and others stand beside: save one network alone, torch\.save\({k\.removep"
    )
    with pytest.raises(CheckpointError, match=words):
        topokd.load(tmp_path / "both.ckpt", preset="ptv3-tiny")
    with pytest.raises(CheckpointError, match=words.replace(r"teacher\. or student", r".*(student|teacher)")):
        load_checkpoint(tmp_path / "both.ckpt", build_model("ptv3-tiny", 5, 3))


def test_a_part_of_a_larger_network_is_not_taken_for_the_network(tmp_path: Path) -> None:
    torch.save(torch.nn.ModuleDict({"head": torch.nn.Linear(2, 2), "scale": torch.nn.PReLU()}).state_dict(),
               tmp_path / "larger.pth")  # fmt: skip
    with pytest.raises(CheckpointError, match="2 missing: weight, bias; 3 unexpected"):
        load_checkpoint(tmp_path / "larger.pth", torch.nn.Linear(2, 2))


def test_a_whole_pickled_network_and_an_unknown_container_are_named(model: PointTransformerV3, tmp_path: Path) -> None:
    torch.save(model, tmp_path / "whole.pth")
    with pytest.raises(CheckpointError, match=r"\.state_dict\(\) in place of \['state_dict'\] if it holds a whole"):
        load_checkpoint(tmp_path / "whole.pth", model)
    torch.save({"weights": model.state_dict(), "epoch": 3}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="under state_dict, .*: what it holds is weights, epoch"):
        load_checkpoint(tmp_path / "other.pth", model)


NUMBERS = ("patch_size", "mlp_ratio", "drop_path", "rope_base")
LISTS = ("enc_depths", "enc_channels", "enc_num_head", "dec_depths", "dec_channels", "dec_num_head", "stride", "orders")


@pytest.mark.parametrize("value", [10**9, 2**70, -1, math.nan, math.inf, "much", True, None], ids=repr)
def test_impossible_sizes_in_a_config_raise_an_error_that_says_why(
    model: PointTransformerV3, tmp_path: Path, value: Any
) -> None:
    path, config = tmp_path / "m.safetensors", dataclasses.asdict(model.config)
    for name in (*NUMBERS, *LISTS):
        spoilt = [value] * len(config[name]) if name in LISTS else value
        save_checkpoint(path, model, {"config": json.dumps(config | {name: spoilt})})
        with pytest.raises(CheckpointError, match=r"m\.safetensors"):
            load_checkpoint(path)


def test_widths_without_weights_allocate_nothing(model: PointTransformerV3, tmp_path: Path) -> None:
    """A tensor of no bytes may have any length, which other checks take for the width of the network."""
    path, wide = tmp_path / "m.safetensors", 1 << 17
    config = dataclasses.asdict(model.config) | {"enc_channels": [wide] * 5}
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    metadata = {"preset": "ptv3-tiny", "in_channels": "5", "num_classes": "3", "config": json.dumps(config)}
    save_file(state | {"none": torch.empty(0, wide)}, path, metadata)
    with pytest.raises(CheckpointError, match=r"1 unexpected: none; \d+ with another shape: .*instead of \(131072,"):
        load_checkpoint(path)


def test_the_outline_of_a_network_draws_no_random_numbers(model: PointTransformerV3, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "m.safetensors", model)
    torch.manual_seed(3)
    build_model("ptv3-tiny", in_channels=5, num_classes=3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    load_checkpoint(tmp_path / "m.safetensors")
    assert torch.equal(torch.rand(3), expected)


def test_every_preset_is_loaded_from_its_own_file(tmp_path: Path) -> None:
    litept = build_model("litept-student-medium", num_classes=3)
    save_checkpoint(tmp_path / "m.safetensors", litept)
    assert same(load_checkpoint(tmp_path / "m.safetensors"), litept)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("net.pt2", "is a program of torch.export, not a checkpoint: give the weights that it was made from"),
        ("net.pt", "is a TorchScript program, not a checkpoint"),
        ("net.onnx", "is an ONNX program, not a checkpoint"),
        ("scan.npz", "is an archive of NumPy arrays, not a checkpoint: a scan perhaps"),
        ("scan.bin", "not a checkpoint .*: if it is a scan, give the checkpoint before it"),
        ("model.safetensors.index.json", "is JSON, not the weights: it may list the files that hold them"),
    ],
)
def test_programs_scans_and_lists_in_place_of_a_checkpoint_are_named(tmp_path: Path, name: str, words: str) -> None:
    path = tmp_path / name
    if name in ("net.pt2", "net.pt", "scan.npz"):
        entry = {"net.pt2": "net/archive_format", "net.pt": "net/constants.pkl", "scan.npz": "xyz.npy"}[name]
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(entry, "")
    else:
        path.write_bytes(
            {"net.onnx": b"\x08\x08\x12\x07pytorch", "scan.bin": bytes(range(1, 65))}.get(name, b'{"a": {}}')
        )
    with pytest.raises(CheckpointError, match=words):
        topokd.load(path)


def test_a_torch_file_has_no_metadata(model: PointTransformerV3, tmp_path: Path) -> None:
    """`topokd adapt` said that such a file is damaged."""
    torch.save(model.state_dict(), tmp_path / "m.pth")
    assert read_metadata(tmp_path / "m.pth") == {}


@pytest.mark.parametrize("keys", [["module"], ["model", "state_dict"], ["state_dict", "model"]])
def test_weights_are_found_in_the_containers_of_other_trainers(
    model: PointTransformerV3, tmp_path: Path, keys: list[str]
) -> None:
    content: Any = model.state_dict()
    for key in reversed(keys):
        content = {key: content, "epoch": 3}
    torch.save(content, tmp_path / "m.pth")
    assert same(topokd.load(tmp_path / "m.pth", preset="ptv3-tiny"), model)


def test_containers_in_a_circle_end(tmp_path: Path) -> None:
    circle: dict[str, Any] = {}
    circle["model"] = circle
    torch.save(circle, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match="what it holds is model, not weights alone"):
        topokd.load(tmp_path / "m.pth", preset="ptv3-tiny")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda weight: weight.to_sparse(), "seg_head.weight is stored sparse"),
        (lambda weight: weight.to("meta"), "seg_head.weight is stored without values"),
        (lambda weight: weight[:1].expand(10**8, -1), "Point Transformer V3: num_classes is 100000000"),
        (lambda weight: weight[:0], "Point Transformer V3: num_classes is 0"),
        (lambda weight: 3, "what it holds is seg_head.weight, not weights alone"),
    ],
)
def test_weights_that_are_no_plain_tensors_are_named(
    model: PointTransformerV3, tmp_path: Path, change: Any, words: str
) -> None:
    state = model.state_dict()
    torch.save(state | {"seg_head.weight": change(state["seg_head.weight"])}, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match=words):
        topokd.load(tmp_path / "m.pth", preset="ptv3-tiny")


def test_a_long_name_of_a_network_is_cut(model: PointTransformerV3, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "m.safetensors", model, {"preset": "x" * 100_000})
    with pytest.raises(CheckpointError, match="unknown model preset 'xxx") as error:
        load_checkpoint(tmp_path / "m.safetensors")
    assert len(str(error.value)) < 1000


def test_weights_beyond_float32_are_named(model: PointTransformerV3, tmp_path: Path) -> None:
    state = {k: v.double() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    torch.save(state, tmp_path / "m.pth")
    assert same(topokd.load(tmp_path / "m.pth", preset="ptv3-tiny"), model)
    state["seg_head.bias"][1] = 1e300  # infinite in the network
    torch.save(state, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match="seg_head.bias holds NaN or infinity, or numbers that float32 cannot"):
        topokd.load(tmp_path / "m.pth", preset="ptv3-tiny")


def test_the_name_of_another_preset_is_not_believed_without_a_word(
    model: PointTransformerV3, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_checkpoint(tmp_path / "m.safetensors", model)
    with caplog.at_level(logging.WARNING):
        load_checkpoint(tmp_path / "m.safetensors")
        assert not caplog.text
        save_checkpoint(tmp_path / "m.safetensors", model, {"preset": "ptv3-teacher"})
        assert same(load_checkpoint(tmp_path / "m.safetensors"), model)
    assert "says that it holds a ptv3-teacher, but not its channels (8, 8, 8, 16, 16)" in caplog.text


@pytest.mark.parametrize("inner", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_parts_that_another_program_wrapped_are_found(model: PointTransformerV3, tmp_path: Path, inner: str) -> None:
    wrapped = {name.replace("backbone.", f"backbone.{inner}.", 1): v for name, v in model.state_dict().items()}
    torch.save(wrapped, tmp_path / "m.pth")
    assert same(topokd.load(tmp_path / "m.pth", preset="ptv3-tiny"), model)


@pytest.mark.parametrize("name", ["state_dict_ema", "ema_state_dict", "model_ema"])
def test_averaged_weights_that_are_left_are_said(
    model: PointTransformerV3, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    averaged = {key: value + 1 for key, value in model.state_dict().items()}
    torch.save({"state_dict": model.state_dict(), name: averaged}, tmp_path / "m.pth")
    assert same(topokd.load(tmp_path / "m.pth", preset="ptv3-tiny"), model)
    assert f"the averaged ones under {name} are not" in caplog.text
    caplog.clear()
    torch.save({"state_dict": model.state_dict(), "schema": {}}, tmp_path / "m.pth")
    topokd.load(tmp_path / "m.pth", preset="ptv3-tiny")
    assert not caplog.text
