"""The cost of the networks at the sizes of the paper, and of a training step, on a GPU; writes benchmarks/gpu.md.

    python benchmarks/gpu.py                       # all parts; needs a CUDA device
    python benchmarks/gpu.py cost recipe --dry

Parts: ``cost`` (Tables 3, 5 and 6 and Figure 1 b-d; whole scans in each arithmetic), ``recipe`` (compared with the
published recipe: explicit attention, bit-unpacking Hilbert codes, gather-GEMM-scatter convolution), ``levers`` (one
choice changed at a time), ``sampling`` (farthest points on the GPU, step by step and as one Triton kernel, and on the
CPU's cores), ``step`` (training steps of the paper's networks on batches of 12 whole scans, by terms of the loss, and
whether the loader keeps up).

Real scans are read where the profile semantickitti-mini finds them (see docs/datasets.md); ``--nuscenes FILE`` names
the .pcd.bin of a nuScenes scan. Times are medians between CUDA events after a warm-up; memory is the peak of the
PyTorch allocator beyond its value before the run. Weights are random.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from gpu_pages import PAGES
from models import GATHER, WORKS, forward, real_scans
from official_recipe import Recipe
from report import keep
from timing import median, medians

from topokd import params as P
from topokd.data import Batch, Scan, collate, prefetch, training_batch, voxelize
from topokd.data.formats import read_cloud
from topokd.datasets.semantickitti.classes import SEMANTICKITTI
from topokd.distillation import build_objective
from topokd.experiments.measurement import measure_peak_memory
from topokd.experiments.model_cost import PAPER_VOXEL_SIZE, count_cost, measure_cost, tile_along_x
from topokd.models import PointTransformerV3, build_model
from topokd.models.convolution.layer import submanifold_convolution
from topokd.models.convolution.pairs import find_pairs
from topokd.models.convolution.table import find_table, gather
from topokd.scans import open_dataset
from topokd.topology import triton_sampling
from topokd.topology.sampling import farthest_point_sampling
from topokd.training import Fit
from topokd.training.determinism import deterministic

TITLE = "Point Transformer V3 and distillation on a GPU"
AMP = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
PRESETS = {"teacher": "ptv3-teacher", "student": "ptv3-student"}
TOKENS = (1000, 4000, 16000, 64000, 128000)
SCANS = 12  # a batch of the paper's
PACKAGES = ("topokd", "torch", "spconv", "flash-attn", "torch-scatter")


def autocast(kind: str) -> torch.autocast:
    return torch.autocast("cuda", AMP[kind] or torch.float32, enabled=AMP[kind] is not None)


def scans(options: argparse.Namespace) -> dict[str, Scan]:
    clouds = {}
    if options.nuscenes:
        clouds["nuScenes, real"] = read_cloud(options.nuscenes).scan
    if real := real_scans():
        clouds["SemanticKITTI, real"] = real[0]
    if not clouds:
        raise SystemExit(
            "no real scan found: set $TOPOKD_SEMANTICKITTI_MINI (docs/datasets.md) or give --nuscenes FILE"
        )
    return clouds


def networks(num_classes: int = 16) -> dict[str, PointTransformerV3]:
    torch.manual_seed(0)
    return {role: build_model(preset, num_classes=num_classes) for role, preset in PRESETS.items()}


def batches(seed: int, count: int) -> tuple[P.Params, list[Batch], Callable[[int], Batch]]:
    """Training batches of the profile semantickitti, from the scans of semantickitti-mini."""
    full, mini = (P.load_profile(name) for name in ("semantickitti", "semantickitti-mini"))
    data = full.data.replace(root=mini.data.root)
    train_set = open_dataset(data, mini.data_root, "train")
    draw = partial(training_batch, train_set, data, seed, batch_size=SCANS)
    return full, [draw(step) for step in range(count)], draw


# -- parts ---------------------------------------------------------------------------------------------------------


def cost(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Whole scans, one at a time, in each arithmetic: the measurements of notebook 70, with the operations."""
    for source, scan in scans(options).items():
        voxels, models = voxelize(scan, PAPER_VOXEL_SIZE), networks()
        real = real_scans()
        large = tile_along_x((voxelize(real[i], PAPER_VOXEL_SIZE) for i in range(4)), TOKENS[-1]) if real else None
        exact = count_cost(models, voxels, TOKENS, PAPER_VOXEL_SIZE, large, "cuda")
        for kind in AMP:
            with autocast(kind):
                timings = measure_cost(
                    models, voxels, len(voxels), TOKENS, scan, PAPER_VOXEL_SIZE, options.repeats, "cuda", large
                )
            yield {"scan": source, "arithmetic": kind, "model_cost": exact, "timings": timings}


def recipe(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Ours and the published recipe in turn, the whole first scan."""
    source, scan = next(reversed(scans(options).items()))
    batch = collate([voxelize(scan, PAPER_VOXEL_SIZE)]).to("cuda")
    for role, model in networks().items():
        pair = {"ours": model.cuda(), GATHER: Recipe(model.cuda())}
        exact = [forward(network, batch) for network in pair.values()]
        worst = float((exact[0] - exact[1]).abs().max())
        if not worst < 1e-3:
            raise SystemExit(f"{role}: the logits of the recipe differ by {worst:.1e}, so times cannot be compared")
        for kind in ("float32", "bfloat16"):
            for work, run in WORKS.items():
                calls = {name: partial(run, network, batch) for name, network in pair.items()}
                with autocast(kind):
                    seconds = medians(calls, options.repeats, "cuda")
                    memory = {name: measure_peak_memory(call, "cuda") for name, call in calls.items()}
                row = {"network": PRESETS[role], "work": work, "arithmetic": kind}
                row |= {"recipe_s": seconds[GATHER], "ours_s": seconds["ours"]}
                row |= {"recipe_bytes": memory[GATHER], "ours_bytes": memory["ours"]}
                yield row | {"voxels": len(batch.feat), "scan": source, "repeats": options.repeats}


def levers(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One choice changed at a time, on the whole first scan."""
    source, scan = next(reversed(scans(options).items()))
    batch = collate([voxelize(scan, PAPER_VOXEL_SIZE)]).to("cuda")
    common = {"voxels": len(batch.feat), "scan": source, "repeats": options.repeats}

    def compared(what: str, kind: str, plain: Callable[[], Any], changed: Callable[[], Any]) -> dict[str, Any]:
        with autocast(kind):
            seconds = medians({"plain": plain, "changed": changed}, options.repeats, "cuda")
            row = {"change": what, "arithmetic": kind, "plain_s": seconds["plain"], "changed_s": seconds["changed"]}
            row["plain_bytes"], row["changed_bytes"] = (measure_peak_memory(c, "cuda") for c in (plain, changed))
        return row | common

    cloud = torch.zeros(len(batch.feat), dtype=torch.int64, device="cuda")
    grid_coord = batch.grid_coord.long()
    find = partial(find_pairs, grid_coord, cloud, 3), partial(find_table, grid_coord, cloud, 3)
    yield compared("finding the neighbours: a table instead of pairs", "float32", *find)
    pairs, table_of_all = find[0](), find[1]()
    for channels in (32, 64):
        rows = torch.randn(len(batch.feat) + 1, channels, device="cuda")
        row_by_row = partial(rows.index_select, 0, table_of_all.table.view(-1))
        by_words = torch.no_grad()(partial(gather, rows, table_of_all.table))
        yield compared(
            f"gathering neighbours, {channels} channels: by words, not rows", "float32", row_by_row, by_words
        )
    for channels in (32, 64, 128):
        feat = torch.randn(len(batch.feat), channels, device="cuda", requires_grad=True)
        weight = torch.randn(channels, 3, 3, 3, channels, device="cuda", requires_grad=True)

        def convolve(neighbours: Any, feat: torch.Tensor = feat, weight: torch.Tensor = weight) -> None:
            submanifold_convolution(feat, weight, None, neighbours).float().sum().backward()

        what = f"convolution, {channels} channels, forward + backward: one product instead of 27"
        for kind in ("float32", "bfloat16"):
            yield compared(what, kind, partial(convolve, pairs), partial(convolve, table_of_all))
    for role, model in networks().items():
        model.cuda()
        step = partial(WORKS["forward + backward"], model, batch)
        saving = build_model(PRESETS[role]).cuda().set_checkpointing()
        saved = partial(WORKS["forward + backward"], saving, batch)
        yield compared(f"{role}, forward + backward: checkpointing", "bfloat16", step, saved)
        twin = build_model(PRESETS[role]).cuda()
        for module in twin.modules():
            if type(module).__name__ == "MLP":
                module.compile(dynamic=True)
        pair = partial(forward, model, batch), partial(forward, twin, batch)
        yield compared(f"{role}, forward: torch.compile of the MLPs", "bfloat16", *pair)


def sampling(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """1,024 of n points by farthest point sampling, 12 clouds, as L_topo asks; from and to the GPU both ways."""
    for n, channels in ((2000, 512), (8000, 512), (64000, 16)):
        clouds = [torch.randn(n, channels, device="cuda") for _ in range(SCANS)]

        def on_cpu(clouds: list[torch.Tensor] = clouds) -> list[torch.Tensor]:
            return [kept.cuda() for kept in farthest_point_sampling([cloud.cpu() for cloud in clouds], 1024)]

        on_gpu = partial(farthest_point_sampling, clouds, 1024)
        same = all(torch.equal(a, b) for a, b in zip(on_cpu(), on_gpu(), strict=True))
        row = {"clouds": SCANS, "points": n, "channels": channels, "threads": torch.get_num_threads(), "same": same}
        row |= {"cpu_s": median(on_cpu, 3, "wall"), "gpu_s": median(on_gpu, 3, "wall")}
        if triton_sampling.fits([n] * SCANS):
            in_one_kernel = partial(triton_sampling.sample_in_one_kernel, clouds, 1024, 0)
            row["same"] &= all(torch.equal(a, b) for a, b in zip(on_gpu(), in_one_kernel(), strict=True))
            row["kernel_s"] = median(in_one_kernel, 3, "wall")
        yield row


def step(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Training steps of the paper's student and teacher, by variant; the loader by itself."""
    full, ready, draw = batches(0, 2)
    with deterministic(full.train.threads):  # as a run of topokd trains
        yield from _steps(options.steps, full, ready, loader_rate(draw, full.train.workers))


def loader_rate(draw: Callable[[int], Batch], workers: int, count: int = 24) -> float:
    """Scans per second of the loader by itself, from the batch on with which every worker has given one."""
    first = max(workers, 1)
    times = [time.perf_counter() for _ in prefetch(draw, range(count), workers)]
    return SCANS * (count - first) / (times[-1] - times[first - 1])


def _steps(steps: int, full: P.Params, ready: list[Batch], rate: float) -> Iterator[dict[str, Any]]:
    voxels = sum(len(batch.feat) for batch in ready) / len(ready)
    jobs: list[tuple[str, str, str | None, bool]] = [("teacher, cross-entropy", "teacher", None, False)]
    jobs += [(f"student, {row}", "student", row, False) for row in full.train_rows]
    jobs += [("student, full, checkpointing of both networks", "student", "full", True)]
    for name, role, row, saving in jobs:
        models = networks(SEMANTICKITTI.num_classes)
        for model in models.values():  # the teacher's too, as the profile's saliency is of first order
            model.set_checkpointing(saving)
        objective = build_objective(full, row)
        fit = Fit(
            model=models[role],
            objective=objective,
            batches=lambda number: ready[number % len(ready)],
            steps=steps,
            train=full.train,
            seed=0,
            teacher=models["teacher"] if objective.needs_teacher else None,
            device=torch.device("cuda"),
        )
        fit.prepare()
        on_gpu = [batch.to("cuda") for batch in ready]
        times = []
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        losses = None
        for number in range(steps):
            start = time.perf_counter()
            losses = fit.train_step(on_gpu[number % len(on_gpu)])
            torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        assert losses is not None
        yield {
            "job": name,
            "clouds": SCANS,
            "voxels": voxels,
            "step_s": statistics.median(times[2:]),
            "peak_bytes": torch.cuda.max_memory_allocated(),
            "loader_scans_per_s": rate,
            "workers": full.train.workers,
            "arithmetic": full.train.amp,
            "threads": torch.get_num_threads(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "steps": steps - 2,
            "terms": {term: value.item() for term, value in losses.terms.items()},
        }
        del fit, models, on_gpu, losses
        torch.cuda.empty_cache()


PARTS = {"cost": cost, "recipe": recipe, "levers": levers, "sampling": sampling, "step": step}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--nuscenes", help="the .pcd.bin of a real nuScenes scan")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--steps", type=int, default=8, help="of `step`; the first two do not count")
    parser.add_argument("--note", default="", help="a sentence for the page on how this was measured")
    parser.add_argument("--dry", action="store_true", help="print only, write nothing")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("torch finds no CUDA device")
    parts = {part: PARTS[part](options) for part in options.parts or PARTS}
    keep(__file__, TITLE, parts, PAGES, PACKAGES, options.dry, options.note)


if __name__ == "__main__":
    main()
