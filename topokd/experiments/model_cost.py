"""What a network costs: parameters, operations, time and memory.

Notebook 70 writes two files with it. ``results/<profile>/model_cost.json`` holds what is exact and repeats byte for
byte:

    {"tokens": {"voxels": int, "clouds": int, "voxel_size": float},   # FLOPs are of this batch: a whole scan
     "num_classes": int,
     "models": {role: {                                       # role: "teacher", "student"; the benchmark's presets
        "preset": str,
        "parameters": {"total", "encoder", "decoder", "head": int},        # the stem counts as encoder
        "modules": {module: int},                             # parameters of embedding, enc0.., dec3.., seg_head
        "architecture": {"enc_depths", "enc_channels", "enc_num_head": [int..], "patch_size": int,
                         "dec_depths", "dec_channels", "dec_num_head": [int..]},       # finest stage first
        "flops": {part: {"linear", "projections", "convolution", "attention", "total": int}}  # encoder, ..., total
     }},
     "ratios": {                                              # teacher over student
        "parameters": float, "blocks_encoder": float, "blocks_decoder": float,
        "flops": {part: {kind: float|null}},                  # kind as above, and "without_attention"
     },
     "scaling": [{"requested": int, "voxels": int, "flops": {role: int}}]}   # Figure 1 b: FLOPs of a forward pass

A FLOP is one multiplication or one addition: a product of (n, a) and (a, b) matrices costs 2 n a b. "linear" are the
dense layers, of which "projections" are those around attention (q, k, v and its output), "convolution" the submanifold
ones (2 C_in C_out for each pair of occupied voxels), "attention" the two products q k^T and (softmax) v of each patch.
Norms, activations and index work are not counted.

``results/<profile>/timings/model_cost.json`` holds what was measured and differs from run to run:

    {"device": str, "threads": int, "repeats": int, "torch": str,
     "models": {role: {"preset": str, "voxels": int,          # one cloud of so many voxels, evaluation mode
        "latency_s": float,                                   # median forward pass
        "fps": float,                                         # 1 / latency_s: the network alone
        "peak_memory_bytes": int,                             # most that a forward pass holds beside weights and input
        "weight_bytes": int,                                  # parameters and buffers
        "cpu_time_s": float,                                  # sum of torch.profiler's self CPU times (Table 6)
        "operations": {name: {"self_s", "total_s": float, "calls", "allocated_bytes": int}}}},  # CPU time, most first
     "ratios": {"latency", "fps", "cpu_time", "peak_memory",           # teacher / student; fps: student / teacher
                "peak_memory_with_weights": float,                     # what max_memory_allocated compares
                "operations": {name: {"self_s": float|null, "allocated_bytes": float|null}}},
     On CUDA a model also has "device_time_s", an operation "device_self_s" and "device_total_s": time on the GPU.
     "scaling": [{"requested": int, "voxels": int,            # Figure 1 c, d
        "latency_s": {role: float}, "peak_memory_bytes": {role: int}}],
     "frame": {"points": int, "voxels": int, "voxel_size": float,     # a whole scan: points in, a class per point out
        "repeats": int,                                       # as above on CUDA, once on a CPU, where it takes seconds
        "seconds": {role: float}, "fps": {role: float}}}             # Table 3
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from topokd.data import Batch, Scan, Voxels, collate, voxelize
from topokd.evaluation.predict import predict
from topokd.machine import device_name
from topokd.models import PointTransformerV3
from topokd.models.attention import PatchAttention
from topokd.models.convolution.layer import SubmanifoldConv
from topokd.models.modes import evaluation_mode
from topokd.progress import Progress

T = TypeVar("T")
PARTS = ("encoder", "decoder", "head")
KINDS = ("linear", "convolution", "attention")
PAPER_VOXEL_SIZE = 0.05  # metres (C.3)
REPEATED_TOKENS = (
    32_000  # larger clouds take seconds on a CPU: they run once there, the smaller ones having warmed it up
)


def part_of(name: str) -> str:
    """Which part of a network a parameter or module belongs to, by its name."""
    if name.startswith("seg_head"):
        return "head"
    return "decoder" if name.startswith("backbone.dec.") else "encoder"


def count_parameters(model: PointTransformerV3) -> dict[str, int]:
    """Trainable parameters of the whole network and of its parts.

    >>> from topokd.models import build_model
    >>> count_parameters(build_model("ptv3-teacher"))["total"]
    46159312
    """
    counts = dict.fromkeys(("total", *PARTS), 0)
    for name, parameter in model.named_parameters():
        counts["total"] += parameter.numel()
        counts[part_of(name)] += parameter.numel()
    return counts


def parameters_by_module(model: PointTransformerV3) -> dict[str, int]:
    """Parameters of the embedding, of each encoder and decoder stage in the order they run in, and of the head.

    >>> from topokd.models import build_model
    >>> list(parameters_by_module(build_model("ptv3-tiny")))[:2]
    ['embedding', 'enc0']
    """
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        parts = name.removeprefix("backbone.").split(".")
        module = parts[1] if parts[0] in ("enc", "dec") else parts[0]
        counts[module] = counts.get(module, 0) + parameter.numel()
    return counts


def count_flops(model: PointTransformerV3, batch: Batch | dict[str, Tensor]) -> dict[str, dict[str, int]]:
    """Operations of one forward pass on ``batch`` in evaluation mode, exactly, by part and kind.

    linear: 2 n c_in c_out, of which projections are those around attention; convolution: 2 pairs c_in c_out over the
    pairs of voxels that really touch; attention: 4 rows keys c for each patch. Biases, norms and activations are left
    out, as torch's flop counter does. A row that a cloud's last patch repeats counts once in linear: that inference on
    a CPU projects it twice is no matter of the network.
    """
    flops = {part: dict.fromkeys(("projections", *KINDS), 0) for part in PARTS}

    def watch(name: str) -> Callable[..., None]:
        counts, attention = flops[part_of(name)], ".attn." in name

        def see(module: nn.Module, given: tuple[Any, ...], _: Any) -> None:
            if isinstance(module, nn.Linear) and not attention:
                counts["linear"] += 2 * given[0].shape[0] * module.in_features * module.out_features
            elif isinstance(module, SubmanifoldConv):
                wide, narrow = module.weight.shape[0], module.weight.shape[-1]
                counts["convolution"] += 2 * given[1].num_pairs * wide * narrow
            elif isinstance(module, PatchAttention):
                x, patches = given
                squares = patches.num_full * patches.size**2 + sum(n**2 for n in patches.short)
                counts["attention"] += 4 * squares * x.shape[1]
                projections = 2 * x.shape[0] * (module.qkv.weight.numel() + module.proj.weight.numel())
                counts["linear"] += projections
                counts["projections"] += projections

        return see

    counted = (nn.Linear, SubmanifoldConv, PatchAttention)
    hooks = [m.register_forward_hook(watch(name)) for name, m in model.named_modules() if isinstance(m, counted)]
    try:
        with evaluation_mode(model), torch.inference_mode():
            model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    flops["total"] = {kind: sum(flops[part][kind] for part in PARTS) for kind in ("projections", *KINDS)}
    for counts in flops.values():
        counts["total"] = sum(counts[kind] for kind in KINDS)
    return flops


def count_products_by_torch(model: PointTransformerV3, batch: Batch | dict[str, Tensor]) -> int:
    """Operations of all matrix products outside attention in one forward pass, by torch's own ``FlopCounterMode``.

    They are the linear layers and the convolutions (except spconv's), so this is another way to their sum in
    :func:`count_flops`. torch's counter has no formula for its CPU attention kernel. Gradients are on, so the cloud has
    to be small enough for them: without, rows that a last patch repeats are projected twice.
    """
    with evaluation_mode(model), torch.enable_grad(), FlopCounterMode(display=False) as counter:
        model(batch)
    counted = counter.get_flop_counts()["Global"]
    return sum(value for op, value in counted.items() if str(op).startswith(("aten.mm", "aten.addmm", "aten.bmm")))


def measure_latency(
    call: Callable[[], object], repeats: int, device: torch.device | str = "cpu", warm_up: int = 1
) -> float:
    """Median time of ``call()`` in seconds, after ``warm_up`` calls that are not counted (NOTES row 15).

    On CUDA between two events on the current stream, so that launching work ahead is not taken for doing it.
    """
    device = torch.device(device)
    times = []
    for _ in range(warm_up + repeats):
        if device.type == "cuda":
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            torch.cuda.synchronize(device)
            stream = torch.cuda.current_stream(device)
            begin.record(stream)
            call()
            end.record(stream)
            end.synchronize()
            times.append(begin.elapsed_time(end) / 1e3)
        else:
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    return statistics.median(times[warm_up:])


def measure_peak_memory(call: Callable[[], object], device: torch.device | str = "cpu") -> int:
    """Most bytes that ``call()`` holds at one time beyond what was there before.

    On CUDA from the caching allocator's statistics (``max_memory_allocated``); on the CPU from every allocation and
    release that torch.profiler records, so temporary buffers inside an operation count as well.
    """
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    return _profile(call)[1]


def profile_operations(
    call: Callable[[], object], most: int = 12, device: torch.device | str = "cpu"
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Self time of all operations together, and of the ``most`` expensive ones with their calls and memory.

    The first has "cpu_time_s" and, on CUDA, "device_time_s". ``self_s`` and ``total_s`` of an operation are CPU time
    on every device, as Table 6 has them; on CUDA ``device_self_s`` and ``device_total_s`` are its time on the GPU, and
    the most expensive ones are those. ``allocated_bytes`` is what an operation's calls allocate on ``device`` and leave
    to their caller, summed over the calls.
    """
    cuda = torch.device(device).type == "cuda"
    found, _, kernels = _profile(call, cuda)
    rows = {name: row for name, row in found.items() if name.startswith("aten::")}
    key = "device_self_s" if cuda else "self_s"
    total = {"cpu_time_s": sum(row["self_s"] for row in rows.values())}
    if cuda:
        total["device_time_s"] = kernels  # those of accelerators, which are no operations of torch's, among them
    first = sorted(rows, key=lambda name: (-rows[name][key], name))[:most]
    return total, {name: rows[name] for name in first}


def _profile(call: Callable[[], object], cuda: bool = False) -> tuple[dict[str, dict[str, float]], int, float]:
    """Times, calls and bytes left by operation; on a CPU the peak of bytes held; on CUDA the seconds of all kernels."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities, profile_memory=True) as record:
        kept = call()
        if cuda:
            torch.cuda.synchronize()
    del kept
    rows, kernels = {}, 0.0
    for e in record.key_averages():
        if e.device_type == torch.autograd.DeviceType.CUDA:
            kernels += e.self_device_time_total / 1e6
            continue
        rows[e.key] = {
            "self_s": e.self_cpu_time_total / 1e6,
            "total_s": e.cpu_time_total / 1e6,
            "calls": e.count,
            "allocated_bytes": max(e.device_memory_usage if cuda else e.cpu_memory_usage, 0),
        }
        if cuda:
            rows[e.key] |= {
                "device_self_s": e.self_device_time_total / 1e6,
                "device_total_s": e.device_time_total / 1e6,
            }
    held = peak = 0
    changes = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(changes, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return rows, peak, kernels


def side_by_side(clouds: Iterable[Voxels], count: int) -> Voxels:
    """Clouds in a row along x, each after the other's end, until there are ``count`` voxels: one large cloud.

    One scan holds fewer voxels than Figure 1 goes up to; a row of scans keeps their density.
    """
    parts: list[Voxels] = []
    grids, shift = [], 0
    for part in clouds:
        grid = part.grid_coord - part.grid_coord.min(0)
        grid[:, 0] += shift
        shift = int(grid[:, 0].max()) + 2
        parts.append(part)
        grids.append(grid)
        if sum(map(len, grids)) >= count:
            break
    return Voxels(
        coord=np.concatenate([part.coord for part in parts]),
        grid_coord=np.concatenate(grids),
        feat=np.concatenate([part.feat for part in parts]),
        label=None,
        inverse=None,
        name=f"{parts[0].name} and {len(parts) - 1} more" if len(parts) > 1 else parts[0].name,
    )


def nearest(voxels: Voxels, count: int) -> Voxels:
    """The ``count`` voxels nearest to the sensor, as a cloud of its own; all of them where there are fewer."""
    distance = np.linalg.norm(voxels.coord, axis=1)
    keep = np.sort(np.argsort(distance, kind="stable")[:count])
    grid = voxels.grid_coord[keep]
    return Voxels(
        coord=voxels.coord[keep],
        grid_coord=grid - grid.min(0),
        feat=voxels.feat[keep],
        label=None,
        inverse=None,
        name=voxels.name,
    )


def _cut(voxels: Voxels, large: Voxels | None, count: int) -> Voxels:
    return nearest(voxels, count) if large is None or len(voxels) >= count else nearest(large, count)


def count_cost(
    models: dict[str, PointTransformerV3],
    voxels: Voxels,
    scaling: Iterable[int],
    voxel_size: float,
    large: Voxels | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """The exact costs (``model_cost.json``, see the top of this file) of a "teacher" and a "student".

    FLOPs are counted on ``voxels``, a whole scan at ``voxel_size``, because the ratios depend on how many voxels are
    left in the coarse stages: far and sparse ones hardly merge. ``scaling`` counts them on its nearest n voxels, or of
    ``large`` (see :func:`side_by_side`) where the scan has fewer. ``device``: where the networks run for it.
    """
    models = {role: model.to(device) for role, model in models.items()}
    cloud = collate([voxels]).to(device)
    parameters = {role: count_parameters(model) for role, model in models.items()}
    flops = {role: count_flops(model, cloud) for role, model in models.items()}
    lists = ("enc_depths", "enc_channels", "enc_num_head", "dec_depths", "dec_channels", "dec_num_head", "patch_size")
    teacher, student = models["teacher"].config, models["student"].config
    curve = []
    for requested in scaling:
        part = collate([_cut(voxels, large, requested)]).to(device)
        totals = {role: count_flops(model, part)["total"]["total"] for role, model in models.items()}
        curve.append({"requested": requested, "voxels": len(part.feat), "flops": totals})
    return {
        "tokens": {"voxels": len(cloud.feat), "clouds": 1, "voxel_size": voxel_size},
        "num_classes": models["teacher"].num_classes,
        "models": {
            role: {
                "preset": model.preset,
                "parameters": parameters[role],
                "modules": parameters_by_module(model),
                "architecture": {key: asdict(model.config)[key] for key in lists},
                "flops": flops[role],
            }
            for role, model in models.items()
        },
        "ratios": {
            "parameters": parameters["teacher"]["total"] / parameters["student"]["total"],
            "blocks_encoder": sum(teacher.enc_depths) / sum(student.enc_depths),
            "blocks_decoder": sum(teacher.dec_depths) / sum(student.dec_depths),
            "flops": _flop_ratios(flops["teacher"], flops["student"]),
        },
        "scaling": curve,
    }


def _flop_ratios(
    teacher: dict[str, dict[str, int]], student: dict[str, dict[str, int]]
) -> dict[str, dict[str, float | None]]:
    ratios: dict[str, dict[str, float | None]] = {}
    for part in teacher:
        ratios[part] = {kind: _ratio(teacher[part][kind], student[part][kind]) for kind in teacher[part]}
        dense = [counts[part]["total"] - counts[part]["attention"] for counts in (teacher, student)]
        ratios[part]["without_attention"] = _ratio(*dense)
    return ratios


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None


def measure_cost(
    models: dict[str, PointTransformerV3],
    voxels: Voxels,
    tokens: int,
    scaling: Iterable[int],
    scan: Scan,
    frame_voxel_size: float,
    repeats: int,
    device: torch.device | str = "cpu",
    large: Voxels | None = None,
) -> dict[str, Any]:
    """The measured costs (``timings/model_cost.json``, see the top of this file) of a "teacher" and a "student".

    The networks' latency, memory and operations on the nearest ``tokens`` of ``voxels`` and along ``scaling``; and
    whole frames, from the points of ``scan`` through voxels of ``frame_voxel_size`` to a class per point.
    """
    device = torch.device(device)
    models = {role: model.to(device) for role, model in models.items()}
    sizes = {requested: _cut(voxels, large, requested) for requested in (tokens, *scaling)}
    measured: dict[int, dict[str, tuple[float, int]]] = {}
    operations: dict[str, tuple[dict[str, float], dict[str, dict[str, float]]]] = {}
    jobs = [(requested, role) for requested in sizes for role in models]
    for requested, role in Progress(jobs, "model cost"):
        batch = collate([sizes[requested]]).to(device)

        def forward(model: nn.Module = models[role], batch: Batch = batch) -> Tensor:
            with evaluation_mode(model), torch.inference_mode():
                return model(batch)

        patient = len(batch.feat) <= REPEATED_TOKENS or device.type == "cuda"
        median = measure_latency(forward, repeats if patient else 1, device, warm_up=int(patient))
        measured.setdefault(requested, {})[role] = median, measure_peak_memory(forward, device)
        if requested == tokens:
            operations[role] = profile_operations(forward, device=device)
    frames = repeats if device.type == "cuda" else 1
    seconds = {
        role: measure_latency(functools.partial(predict, model, scan, frame_voxel_size), frames, device)
        for role, model in models.items()
    }
    latency = {role: value[0] for role, value in measured[tokens].items()}
    memory = {role: value[1] for role, value in measured[tokens].items()}
    ops = {role: operations[role][1] for role in models}
    weights = {role: sum(v.nbytes for v in model.state_dict().values()) for role, model in models.items()}
    return {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "repeats": repeats,
        "torch": torch.__version__,
        "models": {
            role: {
                "preset": model.preset,
                "voxels": len(sizes[tokens]),
                "latency_s": latency[role],
                "fps": 1 / latency[role],
                "peak_memory_bytes": memory[role],
                "weight_bytes": weights[role],
                **operations[role][0],
                "operations": ops[role],
            }
            for role, model in models.items()
        },
        "ratios": {
            "latency": latency["teacher"] / latency["student"],
            "fps": latency["teacher"] / latency["student"],
            "cpu_time": operations["teacher"][0]["cpu_time_s"] / operations["student"][0]["cpu_time_s"],
            "peak_memory": memory["teacher"] / memory["student"],
            "peak_memory_with_weights": (memory["teacher"] + weights["teacher"])
            / (memory["student"] + weights["student"]),
            "operations": {
                name: {key: _ratio(row[key], ops["student"][name][key]) for key in ("self_s", "allocated_bytes")}
                for name, row in ops["teacher"].items()
                if name in ops["student"]
            },
        },
        "scaling": [
            {
                "requested": requested,
                "voxels": len(sizes[requested]),
                "latency_s": {role: value[0] for role, value in measured[requested].items()},
                "peak_memory_bytes": {role: value[1] for role, value in measured[requested].items()},
            }
            for requested in scaling
        ],
        "frame": {
            "points": len(scan),
            "voxels": len(voxelize(scan, frame_voxel_size)),
            "voxel_size": frame_voxel_size,
            "repeats": frames,
            "seconds": seconds,
            "fps": {role: 1 / value for role, value in seconds.items()},
        },
    }
