"""Our Point Transformer V3 beside the published recipe: one process, interleaved, medians, ratios to ours.

    python benchmarks/models.py                                   # student and teacher at 16k voxels, one thread
    python benchmarks/models.py --presets ptv3-student --voxels 4000 --repeats 3
    python benchmarks/models.py --scans ../shared/data/semantickitti-mini --write docs/models.md
    python benchmarks/models.py --device cuda --amp bf16          # CUDA events, the allocator's peak

The recipe (``benchmarks/official_recipe.py``) runs the same weights; logits are compared first, and the benchmark stops
if they differ. Its convolution is gather, GEMM and scatter-add in torch, which also trains; where spconv is installed
(``pip install spconv``, its CPU build) the forward pass is also measured with that. spconv's backward does not run on a
CPU. Time is CPU time of one call (one thread); memory is the peak of live tensors (spconv's own buffers cannot be
seen, so for it the number is a lower bound). The cloud is the n voxels of 0.05 m nearest to the sensor of a scan.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from official_recipe import Recipe, hilbert_code

from topokd import params as P
from topokd.data import Batch, SemanticKITTI, SyntheticLidar, collate, voxelize
from topokd.evaluation.profiling import PAPER_VOXEL_SIZE, measure_latency, measure_peak_memory, nearest
from topokd.io import write_text
from topokd.models import PointTransformerV3, build_model
from topokd.models.serialization import encode
from topokd.pipeline.provenance import processor_name

BARS = {  # (preset, work): how many times faster than the recipe; memory: at most a third
    ("ptv3-student", "forward"): 2.5,
    ("ptv3-student", "forward + backward"): 1.8,
    ("ptv3-teacher", "forward"): 3.0,
    ("ptv3-teacher", "forward + backward"): 2.0,
}
Row = tuple[str, ...]


def cloud(voxels: int, scans: str | None) -> tuple[Batch, str]:
    if scans:
        dataset: SemanticKITTI = SemanticKITTI(scans, "val")
        source = "a real SemanticKITTI scan"
    else:
        world = P.Synthetic(train_sequences=(), val_sequences=(8,), val_scans_per_sequence=1)
        dataset = SyntheticLidar(tempfile.mkdtemp(), "val", world)
        source = "a scan of the synthetic world"
    part = nearest(voxelize(dataset[0], PAPER_VOXEL_SIZE), voxels)
    return collate([part]), f"{len(part):,} voxels of {source}"


def forward(network: torch.nn.Module, batch: Batch) -> torch.Tensor:
    network.eval()
    with torch.inference_mode():
        return network(batch)


def training_step(network: torch.nn.Module, batch: Batch) -> None:
    network.train()
    network.zero_grad(set_to_none=True)
    network(batch).square().mean().backward()


WORKS: dict[str, Callable[..., object]] = {"forward": forward, "forward + backward": training_step}


def interleaved(works: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, float]:
    """Median CPU seconds (CUDA: between events) of each; a round runs each once, and the first does not count."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            start = time.process_time()  # of one thread: other work on the machine counts less than on the clock
            seconds = measure_latency(work, 1, device, warm_up=0)
            if device == "cpu":
                seconds = time.process_time() - start
            if turn:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def compare(preset: str, batch: Batch, repeats: int, device: str, amp: str, works: list[str]) -> list[Row]:
    torch.manual_seed(0)
    model = build_model(preset).to(device)
    networks: dict[str, torch.nn.Module] = {"ours": model, "gather": Recipe(model)}
    if importlib.util.find_spec("spconv") and device == "cpu":
        networks["spconv"] = Recipe(model, "spconv")
    ours = forward(model, batch)
    for name, network in networks.items():
        worst = float((forward(network, batch) - ours).abs().max())
        if not worst < 1e-4:
            raise SystemExit(
                f"{preset}: the recipe with {name} gives other logits (by {worst:.1e}): nothing to compare"
            )
    rows: list[Row] = []
    dtype = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[amp]
    for work in works:
        run = WORKS[work]
        names = [name for name in networks if name != "spconv" or work == "forward"]

        def call(name: str, run: Callable[..., object] = run) -> None:
            with torch.autocast(torch.device(device).type, dtype, enabled=dtype is not None):
                run(networks[name], batch)

        calls: dict[str, Callable[[], object]] = {name: (lambda name=name: call(name)) for name in names}
        seconds = interleaved(calls, repeats, device)
        memory = {name: measure_peak_memory(calls[name], device) for name in names}
        bar = BARS.get((preset, work))
        for name in names:
            if name == "ours":
                continue
            faster, less = seconds[name] / seconds["ours"], memory[name] / memory["ours"]
            rows.append(
                (
                    preset,
                    work,
                    {"gather": "torch gather-GEMM-scatter", "spconv": "spconv (CPU)"}[name],
                    f"{seconds[name]:.3f}",
                    f"{seconds['ours']:.3f}",
                    f"**{faster:.2f}×**",
                    f"{bar}×" if bar else "",
                    f"{memory[name] / 1e6:.0f}",
                    f"{memory['ours'] / 1e6:.0f}",
                    f"**{less:.1f}×**",
                )
            )
            print("  ".join(rows[-1]), flush=True)
    return rows


def levers(preset: str, batch: Batch, repeats: int, compiled: bool) -> list[Row]:
    """What else one might do on a CPU, each against the float32 network as it is."""
    torch.manual_seed(0)
    model = build_model(preset).eval()
    exact = forward(model, batch)
    works: dict[str, Callable[[], object]] = {"float32": lambda: forward(model, batch)}
    results: dict[str, torch.Tensor] = {}

    def bf16() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return forward(model, batch)

    quantised = quantise(model)
    works |= {"bf16 autocast": bf16, "int8 dynamic (linear layers)": lambda: forward(quantised, batch)}
    if compiled:
        dense = build_model(preset).eval()
        dense.load_state_dict(model.state_dict())
        for module in dense.modules():
            if type(module).__name__ == "MLP":
                module.compile(dynamic=True)
        works["torch.compile of the MLPs"] = lambda: forward(dense, batch)
    for name, work in works.items():
        results[name] = work()  # type: ignore[assignment]
    seconds = interleaved(works, repeats, "cpu")
    rows = []
    for name in works:
        agree = (results[name].argmax(1) == exact.argmax(1)).float().mean()
        speed = f"{seconds['float32'] / seconds[name]:.2f}×"
        rows.append((preset, name, f"{seconds[name]:.3f}", speed, f"{100 * agree:.2f} %"))
        print("  ".join(rows[-1]), flush=True)
    grid = batch.grid_coord.long()
    depth = int(grid.max() + 1).bit_length()
    assert torch.equal(encode(grid, depth, "hilbert"), hilbert_code(grid, depth))
    codes = interleaved(
        {"ours": lambda: encode(grid, depth, "hilbert"), "bits": lambda: hilbert_code(grid, depth)}, repeats, "cpu"
    )
    ratio = f"{codes['bits'] / codes['ours']:.0f}×"
    rows.append(("any", "Hilbert codes, against bit unpacking", f"{codes['ours']:.4f}", ratio, "equal"))
    print("  ".join(rows[-1]), flush=True)
    return rows


def quantise(model: PointTransformerV3) -> torch.nn.Module:
    """Linear layers with int8 weights, and inputs quantised row by row as they come."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, torch.qint8)


def table(head: Row, rows: list[Row]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", default="ptv3-student,ptv3-teacher")
    parser.add_argument("--voxels", type=int, default=16384)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--works", default=",".join(WORKS), help="forward, forward + backward, or both with a comma")
    parser.add_argument("--scans", help="root of SemanticKITTI; without it a synthetic scan is made")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--amp", default="off", choices=("off", "bf16", "fp16"))
    parser.add_argument("--levers", action="store_true", help="also bf16, int8 and the Hilbert code by themselves")
    parser.add_argument("--compile", action="store_true", help="with --levers: also torch.compile (needs a compiler)")
    parser.add_argument("--write", type=Path, help="a document whose marked section the tables replace")
    options = parser.parse_args()
    torch.set_num_threads(1)
    batch, source = cloud(options.voxels, options.scans)
    batch = batch.to(options.device)
    presets = options.presets.split(",")
    where = processor_name() if options.device == "cpu" else torch.cuda.get_device_name()
    print(f"{where}, one thread, torch {torch.__version__}, {source}, medians of {options.repeats}", flush=True)
    works = [work for work in options.works.split(",") if work]
    rows = []
    for preset in presets:
        rows += compare(preset, batch, options.repeats, options.device, options.amp, works)
    head = ("network", "work", "recipe's convolution", "recipe (s)", "ours (s)", "faster", "bar")
    text = f"{where}, one thread, torch {torch.__version__}; {source}; medians of {options.repeats}, interleaved.\n\n"
    text += table((*head, "recipe (MB)", "ours (MB)", "less memory"), rows)
    if options.levers and options.device == "cpu":
        more = [row for preset in presets for row in levers(preset, batch, options.repeats, options.compile)]
        text += "\n\n" + table(("network", "change", "forward (s)", "faster", "same class as float32"), more)
    if options.write:
        begin, end = "<!-- benchmarks/models.py -->", "<!-- end -->"
        document = options.write.read_text(encoding="utf-8")
        before, rest = document.split(begin)
        write_text(options.write, f"{before}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}")


if __name__ == "__main__":
    main()
