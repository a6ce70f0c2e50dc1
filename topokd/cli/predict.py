"""Commands for users of a trained network: label scans, score and submit benchmarks, export."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from topokd.cli.completion import benchmarks, label_maps
from topokd.cli.data import ROOT, ROOT_HELP
from topokd.cli.output import counted, print_problems, require_json
from topokd.cli.reading import COLUMNS, DTYPE, FRAME, INTENSITY, INTENSITY_SCALE, ORIGIN, SCALE, given_options
from topokd.errors import DataError, ParameterError

MODEL = Annotated[Path, typer.Argument(metavar="MODEL", help="Weights that topokd trained (.safetensors).")]
BENCHMARK = Annotated[
    str,
    typer.Argument(metavar="BENCHMARK", help="semantickitti, nuscenes or waymo.", autocompletion=benchmarks),
]
FRAMES = Annotated[Path | None, typer.Option(help="Waymo: file of test frames, `context name,timestamp` per line.")]
VOXEL_SIZE = Annotated[float | None, typer.Option(help="Metres; if absent, the size used in training.")]
LABELS = Annotated[
    str | None,
    typer.Option(help="Label map of the data set: a name in conf/labels, or a .yaml file.", autocompletion=label_maps),
]
TTA = Annotated[int, typer.Option(min=1, max=3600, help="Rotations about z to average.")]


def _use_passive_openmp_wait() -> None:
    """Call before torch is imported: threads that spin while they wait stall a scan when other programs use a core.

    On an idle machine spinning is slightly faster: OMP_WAIT_POLICY=ACTIVE in the environment keeps it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def predict(
    checkpoint: MODEL,
    source: Annotated[Path, typer.Argument(metavar="SCANS", help="A scan, or a folder of scans.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder; for one scan also a file.")],
    format: Annotated[str | None, typer.Option(help="label (uint32 ids), ply (coloured points) or npy.")] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Label map (a name in conf/labels, or .yaml): ids, colours, and how its scans are read.",
            autocompletion=label_maps,
        ),
    ] = None,
    columns: COLUMNS = None,
    dtype: DTYPE = None,
    intensity: INTENSITY = None,
    intensity_scale: INTENSITY_SCALE = None,
    scale: SCALE = None,
    frame: FRAME = None,
    origin: ORIGIN = None,
    voxel_size: VOXEL_SIZE = None,
    tta: TTA = 1,
    views: Annotated[int, typer.Option(min=0, help="Number of scans that get a 3D page next to their labels.")] = 1,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; if absent, a GPU if there is one.")] = None,
    amp: Annotated[str, typer.Option(help="off (float32), or bf16 or fp16 where the processor supports it.")] = "off",
    measure: Annotated[
        int, typer.Option(min=0, max=10_000, help="Also time this many runs of one scan, and its memory.")
    ] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that predict did not write.")] = False,
) -> None:
    """Label scans (.bin, .pcd, .ply, .las, .laz, .npy, .npz) with a trained network; see docs/predict.md."""
    _use_passive_openmp_wait()
    from topokd.data.formats.cloud import check_reading
    from topokd.label_maps import load_label_map
    from topokd.labelling import FORMATS, Labeller, predict_files
    from topokd.predict_cost import measure_file

    if format is not None and format not in FORMATS:
        raise ParameterError(f"--format {format}: choose one of {', '.join(FORMATS)}")
    label_map = load_label_map(labels) if labels is not None else None
    known = given_options(
        columns=columns, dtype=dtype, intensity=intensity, intensity_scale=intensity_scale, scale=scale, frame=frame,
        origin=origin,
    )  # fmt: skip
    reading = {"scale": 1.0, "frame": "x,y,z", **(label_map.reading() if label_map else {}), **known}
    check_reading(**reading)  # type: ignore[arg-type]
    labeller = Labeller(checkpoint, voxel_size, tta, device, amp)
    if label_map is not None:
        labeller.classes = labeller.classes.mapped(label_map, source)
    if measure:
        _print_cost(measure_file(labeller, source, measure, **reading))
    written, rejected = predict_files(labeller, source, output, format, views=views, overwrite=overwrite, **reading)  # type: ignore[arg-type]
    for path in written if len(written) <= 10 else [*written[:3], Path("..."), *written[-3:]]:
        typer.echo(str(path))
    if rejected:  # each with its reason in the log
        rejection = "1 file was" if len(rejected) == 1 else f"{len(rejected)} files were"
        typer.echo(f"{rejection} rejected, see above", err=True)
    raise typer.Exit(1 if rejected else 0)


def _print_cost(cost: Mapping[str, float]) -> None:
    tensors, weights, process = (cost[name] / 1e6 for name in ("peak_tensor_bytes", "weight_bytes", "process_bytes"))
    typer.echo(f"{cost['latency_s']:.3f} s from file to classes, {1 / cost['latency_s']:.2f} scans/s")
    typer.echo(
        f"{tensors:.0f} MB of tensors besides {weights:.1f} MB of weights; {process:.0f} MB in the whole process"
    )


def evaluate(
    benchmark: Annotated[
        str | None,
        typer.Argument(
            metavar="BENCHMARK",
            help="semantickitti, nuscenes or waymo; leave it out with --labels.",
            autocompletion=benchmarks,
        ),
    ] = None,
    *,
    checkpoint: MODEL,
    root: Annotated[Path | None, typer.Argument(metavar="ROOT", help=ROOT_HELP)] = None,
    split: Annotated[str, typer.Option(help="A split with labels.")] = "val",
    labels: LABELS = None,
    version: Annotated[str | None, typer.Option(help="nuScenes: v1.0-trainval or v1.0-mini.")] = None,
    voxel_size: VOXEL_SIZE = None,
    tta: TTA = 1,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the numbers as .json.")] = None,
) -> None:
    """Predict a labelled split and print the numbers that the benchmark's own tool prints, in percent.

    The arguments are BENCHMARK MODEL ROOT, or with --labels MODEL ROOT.
    """
    _use_passive_openmp_wait()
    from topokd.datasets import find_benchmark
    from topokd.datasets.metric import class_scores
    from topokd.evaluation import evaluate as count
    from topokd.io import write_json
    from topokd.label_maps import load_label_map, open_mapped
    from topokd.labelling import Labeller

    if labels is not None and root is None and benchmark is not None:
        checkpoint, root = Path(benchmark), checkpoint
    elif labels is not None or root is None or benchmark is None:
        raise ParameterError(
            "name a benchmark (topokd evaluate BENCHMARK MODEL ROOT), or a label map (topokd evaluate MODEL ROOT "
            "--labels FILE)"
        )
    require_json(output)
    labeller = Labeller(checkpoint, voxel_size, tta)
    if labels is not None:
        if version is not None:
            raise ParameterError("remove --version: the label map names the version of its tables")
        label_map = load_label_map(labels)
        benchmark, dataset, scores = label_map.name, open_mapped(root, label_map, split, cache=1), class_scores
    else:
        chosen = find_benchmark(benchmark)
        dataset = chosen.open(root, split, sweeps=labeller.sweeps, version=version, cache=1)
        scores = chosen.official_scores
    dataset.intensity = labeller.uses_intensity
    labeller.need_classes(dataset.class_names, benchmark)
    matrix = count(labeller.model, dataset, labeller.voxel_size, tta)
    if not matrix.matrix.any():
        raise DataError(
            f"{root}: no point of the split {split} has a class of {benchmark}, so there is nothing to score: are all "
            "labels 0, or of another data set?"
        )
    rows = scores(matrix).rows()
    typer.echo(
        f"{benchmark} {split}: {counted(len(dataset), 'scan')} of {counted(len(dataset.sequences), 'sequence')}; "
        f"{counted(tta, 'view')} per scan"
    )
    for name, value in rows.items():
        typer.echo(f"{name:24s}{value:8.2f}")
    if output is not None:
        about = {"benchmark": benchmark, "split": split, "scans": len(dataset), "tta": tta}
        write_json(output, {**about, "percent": rows})


def submit(
    benchmark: BENCHMARK,
    checkpoint: MODEL,
    root: ROOT,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .zip, a folder, or a .bin, by benchmark.")],
    split: Annotated[str, typer.Option(help="The split that the server scores.")] = "test",
    frames: FRAMES = None,
    account: Annotated[str, typer.Option(help="Waymo: the registered e-mail address.")] = "",
    method: Annotated[str, typer.Option(help="Waymo: the method's name, up to 25 letters.")] = "",
    author: Annotated[list[str], typer.Option(help="Waymo: an author; may be repeated.")] = [],  # noqa: B006
    affiliation: Annotated[str, typer.Option(help="Waymo: the authors' institution.")] = "",
    description: Annotated[str, typer.Option(help="Waymo: the method in a few words.")] = "",
    external: Annotated[bool, typer.Option("--external", help="nuScenes: trained with further data.")] = False,
    method_link: Annotated[str, typer.Option(help="Waymo: address of the paper or the code.")] = "",
    voxel_size: VOXEL_SIZE = None,
    tta: TTA = 1,
) -> None:
    """Predict a benchmark's test split, write the file that its server accepts, and check it."""
    _use_passive_openmp_wait()
    from topokd.evaluation.submission import submission_split, validate_submission, write_submission
    from topokd.labelling import Labeller

    given = {
        **{"account": account, "method": method, "authors": author, "affiliation": affiliation},
        **{"description": description, "method_link": method_link, "external": external},
    }
    details = {name: value for name, value in given.items() if value}
    labeller = Labeller(checkpoint, voxel_size, tta)
    dataset = submission_split(benchmark, root, split, frames=frames, sweeps=labeller.sweeps)
    dataset.intensity = labeller.uses_intensity
    labeller.need_classes(dataset.class_names, benchmark)
    write_submission(benchmark, labeller.model, dataset, labeller.voxel_size, output, tta, split, details)
    _report(output, validate_submission(benchmark, output, dataset, split))


def validate(
    benchmark: BENCHMARK,
    submission: Annotated[
        Path, typer.Argument(metavar="SUBMISSION", help="The file or folder that `topokd submit` wrote.")
    ],
    root: ROOT,
    split: Annotated[str, typer.Option(help="The split that the server scores.")] = "test",
    frames: FRAMES = None,
) -> None:
    """List the problems for which a benchmark server would reject a submission; exit status 1 if any."""
    from topokd.evaluation.submission import submission_split, validate_submission

    dataset = submission_split(benchmark, root, split, frames=frames)
    _report(submission, validate_submission(benchmark, submission, dataset, split))


def _report(path: Path, problems: list[str]) -> None:
    print_problems(problems)
    typer.echo(f"{path}: " + (f"would be rejected, {counted(len(problems), 'problem')}" if problems else "valid"))
    raise typer.Exit(1 if problems else 0)


def export(
    checkpoint: MODEL,
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="net.pt2 (torch.export) or net.onnx.")],
) -> None:
    """Export a network as a fixed graph for clouds of any size; topokd.models.export describes its inputs."""
    from topokd.io import require_writable
    from topokd.models import load_checkpoint
    from topokd.models.export import save_onnx, save_program

    writers = {".pt2": save_program, ".onnx": save_onnx}
    if output.suffix not in writers:
        raise ParameterError(f"{output}: the name must end in .pt2 (torch.export) or .onnx")
    network: Any = load_checkpoint(checkpoint)
    if output.is_dir():
        raise ParameterError(f"{output} is a folder: choose another name for the file")
    require_writable(output.parent)  # tracing takes a minute
    writers[output.suffix](output, network)
    typer.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


def info() -> None:
    """Print versions, devices, and which optional accelerators are active."""
    import torch

    from topokd.machine import processor_name
    from topokd.models.info import active_backends
    from topokd.pipeline.provenance import versions
    from topokd.project import project_root

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    rows = {"project": str(project_root()), "processor": processor_name(), "gpu": gpu}
    for name, value in {**rows, **active_backends(), **versions()}.items():
        typer.echo(f"{name:24s} {value}")
