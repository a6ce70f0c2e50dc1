"""Choosing backends, and the installed accelerators against their torch versions."""

import copy

import pytest
import torch

from tests.gpu import needs_gpu
from tests.models.clouds import random_batch
from topokd.errors import DataError, ParameterError
from topokd.models import backends, build_model
from topokd.models.blocks import segment_max
from topokd.models.convolution.layer import submanifold_convolution
from topokd.models.convolution.pairs import find_pairs
from topokd.models.convolution.spconv import SpconvNeighbours


def test_an_unknown_backend_is_named_with_the_choices() -> None:
    model = build_model("ptv3-tiny")
    with pytest.raises(ParameterError, match="unknown convolution backend 'cudnn': choose auto, torch or spconv"):
        model.set_backends(convolution="cudnn")
    with pytest.raises(ParameterError, match=r"backends cannot be chosen for pooling: choose from convolution"):
        model.set_backends(pooling="torch")


@pytest.mark.parametrize(
    ("kind", "name"), [("convolution", "spconv"), ("attention", "flash-attn"), ("reduction", "torch-scatter")]
)
def test_forcing_an_accelerator_on_a_cpu_raises(kind: str, name: str) -> None:
    model = build_model("ptv3-tiny").set_backends(**{kind: name})
    with pytest.raises(ParameterError, match=f"{kind}='{name}' runs on CUDA only.*CPU"):
        model(random_batch(30))
    model.set_backends(**{kind: "torch"})(random_batch(30))


def test_a_chosen_backend_reaches_every_layer() -> None:
    model = build_model("ptv3-tiny").set_backends(convolution="torch", attention="torch", reduction="torch")
    chosen = [m.backend for m in model.modules() if hasattr(m, "backend")]
    assert chosen == ["torch"] * (1 + 9 + 9 + 4)  # stem, blocks' convolutions and attention, poolings


@needs_gpu
@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-3), (torch.float16, 2e-2)])
def test_spconv_equals_its_torch_twin(kernel_size: int, dtype: torch.dtype, bound: float) -> None:
    if backends.SPCONV is None:
        pytest.skip("spconv is not installed")
    batch = random_batch(300, 200)
    cloud = torch.tensor([0, 1]).repeat_interleave(torch.tensor([300, 200])).cuda()
    grid = batch["grid_coord"].cuda()
    both = find_pairs(grid, cloud, kernel_size), SpconvNeighbours(kernel_size, grid, cloud)
    assert both[0].num_pairs == both[1].num_pairs
    generator = torch.Generator().manual_seed(0)
    feat, weight, bias = (
        torch.randn(*s, generator=generator) for s in ((500, 16), (32, *[kernel_size] * 3, 16), (32,))
    )
    results = []
    for neighbours in both:
        leaves = [x.to("cuda", dtype).requires_grad_() for x in (feat, weight, bias)]
        out = submanifold_convolution(*leaves, neighbours)
        results.append([out, *torch.autograd.grad(out.float().square().sum(), leaves)])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, atol=bound * float(expected.abs().max()), rtol=bound)


@needs_gpu
def test_torch_scatter_equals_its_torch_twin() -> None:
    if backends.TORCH_SCATTER is None:
        pytest.skip("torch-scatter is not installed")
    x = torch.randn(9, 4, device="cuda", requires_grad=True)
    parent, first = (torch.tensor(v, device="cuda") for v in ([0, 0, 0, 1, 2, 2, 3, 3, 3], [0, 3, 4, 6]))
    a, b = (segment_max(x, parent, first, name) for name in ("torch", "torch-scatter"))
    torch.testing.assert_close(a, b)
    weights = torch.randn_like(a)
    torch.testing.assert_close(*(torch.autograd.grad((y * weights).sum(), x)[0] for y in (a, b)))


@needs_gpu
def test_the_network_on_a_gpu_equals_the_one_on_the_cpu() -> None:
    torch.manual_seed(0)
    model, batch = build_model("ptv3-tiny"), random_batch(300, 200)
    there, batch_there = copy.deepcopy(model).cuda(), {k: v.cuda() for k, v in batch.items()}
    with torch.no_grad():
        exact, outputs = model.eval()(batch), [there.eval()(batch_there) for _ in range(2)]
    torch.testing.assert_close(outputs[0].cpu(), exact, atol=1e-4, rtol=1e-4)
    assert torch.equal(*outputs)
    gradients = []
    for network, inputs in ((model, batch), (there, batch_there)):
        torch.manual_seed(3)  # orders and dropped rows are drawn on the CPU
        network.train()(inputs).square().mean().backward()
        gradients.append(torch.cat([p.grad.flatten().cpu() for p in network.parameters()]))
    difference = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert difference < 1e-3


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_on_a_gpu_stays_near_float32(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model, batch = build_model("ptv3-tiny").eval().cuda(), {k: v.cuda() for k, v in random_batch(300, 200).items()}
    with torch.no_grad():
        exact = model(batch)
        with torch.autocast("cuda", dtype):
            half = model(batch)
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), exact, atol=0.05 * float(exact.abs().max()), rtol=0)


@pytest.mark.long
@pytest.mark.parametrize("per", ["voxel", "cloud"])
def test_checkpointing_saves_memory_and_keeps_every_gradient(per: str) -> None:
    from topokd.experiments.measurement import measure_peak_memory

    torch.manual_seed(0)
    plain = build_model("ptv3-tiny", drop_path=0.4, drop_path_per=per).train()
    saving = copy.deepcopy(plain).set_checkpointing()
    batch, gradients, peaks = random_batch(300, 200), [], []
    for model in (plain, saving):

        def step(model: torch.nn.Module = model) -> None:
            model.zero_grad()
            torch.manual_seed(3)
            model(batch).square().sum().backward()

        step()
        gradients.append([p.grad.clone() for p in model.parameters()])
        peaks.append(measure_peak_memory(step))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert peaks[1] < 0.8 * peaks[0]


@pytest.mark.parametrize("training", [False, True])
def test_logits_that_overflow_float16_raise(training: bool) -> None:
    torch.manual_seed(0)
    model, batch = build_model("ptv3-tiny").train(training), random_batch(60)
    with torch.no_grad():
        model.seg_head.weight.mul_(1e6)
        message = "overflow float16.*bfloat16 or float32" + ".*resume from the last checkpoint" * training
        with torch.autocast("cpu", torch.float16), pytest.raises(DataError, match=message):
            model(batch)
        with torch.autocast("cpu", torch.bfloat16):
            assert model(batch).isfinite().all()


@pytest.mark.long
def test_the_number_of_threads_changes_rounding_only() -> None:
    # Torch does not split work of less than some ten thousand values: all layers of a tiny network run on one thread.
    # At this size most logits differ in their last bits on the machine this was written on; others may round alike.
    torch.manual_seed(0)
    model, batch, threads = build_model("ptv3-student").eval(), random_batch(3000), torch.get_num_threads()
    outputs = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            with torch.no_grad():
                outputs.append(model(batch))
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(outputs[1], outputs[0], atol=1e-5, rtol=1e-5)
