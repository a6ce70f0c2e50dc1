from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.gpu import needs_gpu
from tests.models.clouds import random_batch, random_cloud
from topokd.cli import app
from topokd.errors import DataError, ParameterError
from topokd.models import PointTransformerV3, build_model, save_checkpoint
from topokd.models.export import ExportableNetwork, Structure, export_program, save_onnx, save_program, structure

SIZES = (500, 200, 33, 32, 31, 2, 1)  # patches hold 32 rows: several, one that is full, one that is short
Run = Callable[[torch.Tensor, Structure], torch.Tensor]


def lively(model: PointTransformerV3) -> PointTransformerV3:
    """Give the network BatchNorm statistics that differ from those of a fresh one."""
    model.train()(random_batch(300, 200))
    return model.eval()


@pytest.fixture(scope="module")
def shallow() -> PointTransformerV3:
    """Two stages are enough for pooling, unpooling, two curves and a skip connection."""
    torch.manual_seed(0)
    two = {"enc_depths": (2, 1), "enc_channels": (8, 16), "enc_num_head": (1, 2), "stride": (2,)}
    return lively(build_model("ptv3-tiny", **two, dec_depths=(1,), dec_channels=(8,), dec_num_head=(1,)))


@pytest.fixture(scope="module")
def program(shallow: PointTransformerV3) -> torch.export.ExportedProgram:
    shallow.train()
    exported = export_program(shallow)
    assert shallow.training  # exported in evaluation mode, then the mode is restored
    shallow.eval()
    return exported


def compare(model: PointTransformerV3, run: Run, sizes: tuple[int, ...] = SIZES) -> None:
    for n in sizes:
        grid, feat = random_cloud(n, seed=n)
        with torch.inference_mode():
            expected = model({"grid_coord": grid, "feat": feat, "offset": torch.tensor([n])})
            logits = run(feat, structure(model, grid))
        assert (logits - expected).abs().max() < 1e-5 * max(1, float(expected.abs().max())), f"{n} voxels"


@pytest.mark.parametrize("preset", ["ptv3-tiny", "ptv3-student-small"])
def test_layers_with_integers_as_inputs_give_the_logits_of_the_network(preset: str) -> None:
    torch.manual_seed(1)
    model = lively(build_model(preset, enc_depths=(2, 1, 1, 5, 1)))
    compare(model, ExportableNetwork(model))


def test_blocks_follow_more_than_four_curves() -> None:
    torch.manual_seed(1)
    orders = ("z", "z", "z", "z", "hilbert")
    model = lively(build_model("ptv3-tiny", enc_depths=(6, 1, 1, 1, 1), orders=orders))
    compare(model, ExportableNetwork(model), (500,))


@needs_gpu
def test_voxels_on_a_gpu_give_the_integers_of_the_cpu(shallow: PointTransformerV3) -> None:
    grid, _ = random_cloud(50, 0)
    here, there = structure(shallow, grid), structure(shallow, grid.cuda())
    assert all(torch.equal(there[name], value) for name, value in here.items())


def test_torch_export_gives_the_same_logits_for_any_size(
    shallow: PointTransformerV3, program: torch.export.ExportedProgram, tmp_path: Path
) -> None:
    save_program(tmp_path / "net.pt2", shallow, program)
    compare(shallow, torch.export.load(tmp_path / "net.pt2").module())


@pytest.mark.long
def test_onnx_gives_the_same_logits_for_any_size(
    shallow: PointTransformerV3, program: torch.export.ExportedProgram, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript", reason="ONNX export needs the extra: pip install 'topokd[onnx]'")
    runtime = pytest.importorskip("onnxruntime", reason="the check needs the extra: pip install 'topokd[onnx]'")
    save_onnx(tmp_path / "net.onnx", shallow, program)
    session = runtime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])

    def run(feat: torch.Tensor, integers: Structure) -> torch.Tensor:
        given = {"feat": feat.numpy(), **{name: value.numpy() for name, value in integers.items()}}
        assert set(given) == {node.name for node in session.get_inputs()}
        return torch.from_numpy(session.run(None, given)[0])

    compare(shallow, run)


@pytest.mark.long
def test_the_export_command_writes_a_program_and_rejects_unknown_endings(
    shallow: PointTransformerV3, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "net.safetensors", shallow)
    run = CliRunner()
    result = run.invoke(app, ["export", str(tmp_path / "net.safetensors"), str(tmp_path / "net.pt2")])
    assert result.exit_code == 0 and "net.pt2" in result.output, result.output
    compare(shallow, torch.export.load(tmp_path / "net.pt2").module(), (33,))
    result = run.invoke(app, ["export", str(tmp_path / "net.safetensors"), str(tmp_path / "net.txt")])
    assert isinstance(result.exception, ParameterError) and "must end in .pt2" in str(result.exception)


def test_batch_patching_and_wrong_voxels_raise(shallow: PointTransformerV3) -> None:
    with pytest.raises(ParameterError, match="depends on the batch"):
        ExportableNetwork(build_model("ptv3-tiny", patching="batch"))
    with pytest.raises(DataError, match="appear twice"):
        structure(shallow, torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(DataError, match="negative"):
        structure(shallow, torch.tensor([[0, -1, 0]]))
