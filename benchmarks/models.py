"""Compare our Point Transformer V3 with the published recipe, interleaved in one process; writes benchmarks/models.md.

    python benchmarks/models.py                                      # all parts
    python benchmarks/models.py speed --presets ptv3-student --works forward
    python benchmarks/models.py speed --device cuda --amp bf16 --dry # CUDA events, the allocator's peak

Parts: ``speed`` (time and memory of both), ``levers`` (other options on a CPU), ``accuracy`` (of a
trained student in bfloat16 and int8; needs `make repro`), ``flops`` (teacher over student on clouds of several
sensors), ``export`` (the student's graphs and the network), ``frame`` (the student from a scan on disk to labels).

The recipe (``benchmarks/official_recipe.py``) runs the same weights, and the benchmark stops if its logits differ. Its
convolution is gather, GEMM and scatter-add in torch, which also trains; where spconv is installed (``pip install
spconv``, its CPU build) the forward pass is also measured with it. The backward pass of spconv needs a GPU. On one
thread, time is CPU time; memory is the peak of live tensors (the buffers of spconv are not visible: a lower bound). The
cloud is the n voxels of 0.05 m nearest to the sensor of a real SemanticKITTI scan where the profile semantickitti-mini
finds one, else of the synthetic world.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from models_pages import PAGES
from official_recipe import Recipe, hilbert_code
from report import keep
from timing import Work, cpu_seconds, medians

from topokd import params as P
from topokd import project
from topokd.data import Batch, Scan, collate, voxelize
from topokd.data.formats import read_cloud
from topokd.datasets import SemanticKITTI
from topokd.datasets.semantickitti.classes import SEMANTICKITTI
from topokd.errors import TopokdError
from topokd.evaluation import evaluate
from topokd.experiments.measurement import measure_peak_memory
from topokd.experiments.model_cost import PAPER_VOXEL_SIZE, count_cost, nearest
from topokd.labelling import Labeller
from topokd.models import PointTransformerV3, build_model, load_checkpoint, save_checkpoint
from topokd.models.export import save_onnx, save_program, structure
from topokd.models.serialization import encode
from topokd.predict_cost import measure_file
from topokd.scans import open_dataset
from topokd.synthetic import SyntheticLidar
from topokd.training.precision import AMP_DTYPES

TITLE = "Point Transformer V3 compared with the published recipe"
BARS = {  # (preset, work): target speed-up over the recipe; the target for memory is a third
    ("ptv3-student", "forward"): 2.5,
    ("ptv3-student", "forward + backward"): 1.8,
    ("ptv3-teacher", "forward"): 3.0,
    ("ptv3-teacher", "forward + backward"): 2.0,
}
GATHER, SPCONV = "torch: gather, GEMM, scatter", "spconv (CPU build)"
EXPORTED_VOXELS = 2000


# -- clouds --------------------------------------------------------------------------------------------------------


def real_scans() -> SemanticKITTI | None:
    try:
        return SemanticKITTI(P.load_profile("semantickitti-mini").data_root, "val")
    except TopokdError:
        return None


def synthetic_scan() -> Scan:
    world = P.Synthetic(train_sequences=(), val_sequences=(8,), val_scans_per_sequence=1)
    with tempfile.TemporaryDirectory() as folder:
        return SyntheticLidar(folder, "val", world)[0]


def cloud(voxels: int) -> tuple[Batch, str]:
    """The voxels nearest to the sensor, and the name of their source."""
    real = real_scans()
    scan, source = (real[0], "SemanticKITTI, real") if real else (synthetic_scan(), "synthetic")
    part = nearest(voxelize(scan, PAPER_VOXEL_SIZE), voxels)
    return collate([part]), source


# -- speed ---------------------------------------------------------------------------------------------------------


def forward(network: torch.nn.Module, batch: Batch) -> torch.Tensor:
    network.eval()
    with torch.inference_mode():
        return network(batch)


def training_step(network: torch.nn.Module, batch: Batch) -> None:
    network.train()
    network.zero_grad(set_to_none=True)
    network(batch).square().mean().backward()


WORKS: dict[str, Callable[..., object]] = {"forward": forward, "forward + backward": training_step}


def speed(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Ours and every recipe in turn, for each network and work."""
    batch, source = cloud(options.voxels)
    batch = batch.to(options.device)
    dtype = AMP_DTYPES[options.amp]

    def call(run: Callable[..., object], network: torch.nn.Module) -> None:
        with torch.autocast(torch.device(options.device).type, dtype, enabled=dtype is not None):
            run(network, batch)

    for preset in options.presets:
        torch.manual_seed(0)
        model = build_model(preset).to(options.device)
        recipes: dict[str, torch.nn.Module] = {GATHER: Recipe(model)}
        if importlib.util.find_spec("spconv") and options.device == "cpu":
            recipes[SPCONV] = Recipe(model, "spconv")
        ours = forward(model, batch)
        for name, recipe in recipes.items():
            worst = float((forward(recipe, batch) - ours).abs().max())
            if not worst < 1e-4:
                raise SystemExit(f"{preset}: the logits of {name} differ by {worst:.1e}, so times cannot be compared")
        for work in options.works:
            networks = {"ours": model} | {k: v for k, v in recipes.items() if k == GATHER or work == "forward"}
            calls: dict[str, Work] = {k: partial(call, WORKS[work], network) for k, network in networks.items()}
            seconds = medians(calls, options.repeats, torch.device(options.device).type)
            memory = {name: measure_peak_memory(run, options.device) for name, run in calls.items()}
            for name in list(networks)[1:]:
                yield {
                    "network": preset,
                    "work": work,
                    "recipe": name,
                    "recipe_s": seconds[name],
                    "ours_s": seconds["ours"],
                    "recipe_bytes": memory[name],
                    "ours_bytes": memory["ours"],
                    "bar": BARS.get((preset, work)),
                    "voxels": len(batch.feat),
                    "scan": source,
                    "repeats": options.repeats,
                    "device": options.device,
                    "amp": options.amp,
                }


# -- levers --------------------------------------------------------------------------------------------------------


def quantise(model: PointTransformerV3) -> torch.nn.Module:
    """Linear layers with int8 weights, and inputs quantised row by row as they come."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, torch.qint8)


def in_bf16(work: Work) -> object:
    with torch.autocast("cpu", torch.bfloat16):
        return work()


def compiled(model: PointTransformerV3) -> PointTransformerV3:
    """A copy with compiled MLPs."""
    twin = build_model(model.preset).eval()
    twin.load_state_dict(model.state_dict())
    for module in twin.modules():
        if type(module).__name__ == "MLP":
            module.compile(dynamic=True)
    return twin


def levers(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Other options on a CPU, each compared with the plain float32 network."""
    batch, source = cloud(options.voxels)
    common = {"voxels": len(batch.feat), "scan": source, "repeats": options.repeats}
    for preset in options.presets:
        torch.manual_seed(0)
        model = build_model(preset).eval()
        plain = partial(forward, model, batch)
        works: dict[str, Work] = {
            "float32": plain,
            "bfloat16 (autocast)": partial(in_bf16, plain),
            "int8 linear layers": partial(forward, quantise(model), batch),
        }
        if shutil.which("g++"):
            works["torch.compile of the MLPs"] = partial(forward, compiled(model), batch)
        seconds = medians(works, options.repeats)
        for name in list(works)[1:]:
            row = {"network": preset, "change": name, "plain_s": seconds["float32"], "changed_s": seconds[name]}
            row["plain_bytes"], row["changed_bytes"] = (measure_peak_memory(works[k]) for k in ("float32", name))
            yield row | common
        works = {
            "plain": lambda model=model: training_step(model.set_checkpointing(False), batch),
            "changed": lambda model=model: training_step(model.set_checkpointing(), batch),
        }
        seconds = medians(works, options.repeats)
        row = {"network": preset, "change": "checkpointing, forward + backward"}
        for name, work in works.items():
            row |= {f"{name}_s": seconds[name], f"{name}_bytes": measure_peak_memory(work)}
        yield row | common
    grid = batch.grid_coord.long()
    depth = int(grid.max() + 1).bit_length()
    if not torch.equal(encode(grid, depth, "hilbert"), hilbert_code(grid, depth)):
        raise SystemExit("the two Hilbert codes differ, so their times cannot be compared")
    codes: dict[str, Work] = {
        "bits": partial(hilbert_code, grid, depth),
        "table": partial(encode, grid, depth, "hilbert"),
    }
    seconds = medians(codes, options.repeats)
    row = {"network": "any", "change": "Hilbert code by table, not bit by bit (always on)"}
    yield row | {"plain_s": seconds["bits"], "changed_s": seconds["table"]} | common


def accuracy(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """mIoU of a student that the default profile trained, in each arithmetic."""
    params = P.load_profile("default")
    weights = project.project_path("workspace/default/checkpoints/full-seed0.safetensors")
    if not weights.is_file():
        print(f"accuracy skipped: {weights} does not exist; `make repro` trains it")
        return
    model: PointTransformerV3 = load_checkpoint(weights).eval()
    dataset = open_dataset(params.data, params.data_root, "val")
    score = partial(evaluate, dataset=dataset, voxel_size=params.data.voxel_size)
    works: dict[str, Callable[[], Any]] = {
        "float32": partial(score, model),
        "bfloat16 (autocast)": partial(in_bf16, partial(score, model)),
        "int8 linear layers": partial(score, quantise(model)),
    }
    for name, work in works.items():
        matrix = work()
        yield {"network": model.preset, "arithmetic": name, "scans": len(dataset), "miou": matrix.miou()}


# -- operations ----------------------------------------------------------------------------------------------------


def flops(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Teacher over student on whole scans of several sensors."""
    models = {role: build_model(f"ptv3-{role}") for role in ("teacher", "student")}
    scans = {"synthetic, 64 beams": synthetic_scan()}
    if real := real_scans():
        scans |= {f"SemanticKITTI, real, {real[i].name}": real[i] for i in range(len(real))}
    for file in sorted(project.project_path("../shared/data/nuscenes-one-scan").glob("*.pcd.bin")):
        scans["nuScenes, real"] = read_cloud(file).scan
    for name, scan in scans.items():
        cost = count_cost(models, voxelize(scan, PAPER_VOXEL_SIZE), (), PAPER_VOXEL_SIZE)
        row: dict[str, Any] = {"scan": name, "voxels": cost["tokens"]["voxels"]}
        for part in ("encoder", "decoder"):
            for kind in ("total", "without_attention", "projections"):
                row[f"{part} {kind}"] = cost["ratios"]["flops"][part][kind]
            for role in models:
                counts = cost["models"][role]["flops"][part]
                row[f"{role} {part} multiply-adds"] = (counts["total"] - counts["attention"]) // 2
        yield row


# -- as users run it -----------------------------------------------------------------------------------------------


def export(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The student as ``topokd export`` writes it: difference of its logits from those of the network, and cost."""
    batch, source = cloud(EXPORTED_VOXELS)
    torch.manual_seed(0)
    model = build_model("ptv3-student").eval()
    exact = forward(model, batch)
    integers = structure(model, batch.grid_coord)
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if not importlib.util.find_spec(name)]
    if missing:
        print(f"ONNX skipped: {', '.join(missing)} not installed (pip install 'topokd[onnx]')")
    with tempfile.TemporaryDirectory() as folder:
        for suffix, write, load in ((".pt2", save_program, read_program), (".onnx", save_onnx, read_onnx)):
            if missing and suffix == ".onnx":
                continue
            file = Path(folder, f"student{suffix}")
            written = cpu_seconds(partial(write, file, model))
            graph = partial(load(file), batch.feat, integers)
            works: dict[str, Work] = {
                "network": partial(forward, model, batch),
                "integers": partial(structure, model, batch.grid_coord),
                "graph": graph,
            }
            seconds = medians(works, options.repeats)
            yield {
                "network": model.preset,
                "format": suffix,
                "difference": float((graph() - exact).abs().max()),
                "largest_logit": float(exact.abs().max()),
                "file_bytes": file.stat().st_size,
                "write_s": written,
                **{f"{name}_s": value for name, value in seconds.items()},
                "voxels": len(batch.feat),
                "scan": source,
                "repeats": options.repeats,
            }


Graph = Callable[[torch.Tensor, dict[str, torch.Tensor]], torch.Tensor]


def read_program(file: Path) -> Graph:
    return torch.inference_mode()(torch.export.load(file).module())


def read_onnx(file: Path) -> Graph:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])

    def run(feat: torch.Tensor, integers: dict[str, torch.Tensor]) -> torch.Tensor:
        given = {"feat": feat.numpy(), **{name: value.numpy() for name, value in integers.items()}}
        return torch.from_numpy(session.run(None, given)[0])

    return run


def frame(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The output of ``topokd predict --measure`` for the student, in each arithmetic."""
    real = real_scans()
    scan, source = (real[0], "SemanticKITTI, real") if real else (synthetic_scan(), "synthetic")
    torch.manual_seed(0)
    model = build_model("ptv3-student", num_classes=SEMANTICKITTI.num_classes)
    metadata = {"class_names": ",".join(SEMANTICKITTI.class_names), "voxel_size": str(PAPER_VOXEL_SIZE)}
    common = {"network": model.preset, "points": len(scan), "voxels": len(voxelize(scan, PAPER_VOXEL_SIZE))}
    common |= {"scan": source, "repeats": options.repeats, "device": options.device}
    with tempfile.TemporaryDirectory() as folder:
        weights, file = Path(folder, "student.safetensors"), Path(folder, "scan.bin")
        save_checkpoint(weights, model, metadata)
        if real:
            file = real.files(scan.name)[0]
        else:
            np.column_stack([scan.xyz, scan.intensity]).astype("<f4").tofile(file)
        for amp in ("off", "bf16"):
            # Forked from a fresh server: a child of this process would count the memory of this process too.
            with ProcessPoolExecutor(1, get_context("forkserver")) as child:
                measured = child.submit(measure_frame, weights, file, options.repeats, options.device, amp).result()
            yield common | {"amp": amp} | measured


def measure_frame(weights: Path, file: Path, repeats: int, device: str, amp: str) -> dict[str, float]:
    """The numbers of `measure_file`, and the CPU time of one more run (on a GPU machine too)."""
    torch.set_num_threads(1)
    labeller = Labeller(weights, device=device, amp=amp)
    measured = measure_file(labeller, file, repeats)
    return measured | {"cpu_s": cpu_seconds(lambda: labeller(read_cloud(file)))}


PARTS = {"speed": speed, "levers": levers, "accuracy": accuracy, "flops": flops, "export": export, "frame": frame}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--presets", default="ptv3-student,ptv3-teacher", help="separated by commas")
    parser.add_argument("--works", default=",".join(WORKS), help="separated by commas")
    parser.add_argument("--voxels", type=int, default=16384)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu", help="of `speed` and `frame`")
    parser.add_argument("--amp", default="off", choices=("off", "bf16", "fp16"), help="of `speed`")
    parser.add_argument("--dry", action="store_true", help="print only, write nothing")
    options = parser.parse_args()
    options.presets, options.works = options.presets.split(","), options.works.split(",")
    torch.set_num_threads(1)
    parts = {part: PARTS[part](options) for part in options.parts or PARTS}
    keep(__file__, TITLE, parts, PAGES, ["topokd", "torch", "spconv", "onnx", "onnxruntime"], options.dry)


if __name__ == "__main__":
    main()
