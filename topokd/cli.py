"""The command line: what the pipeline's stages and the Makefile call."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

from topokd import params as P
from topokd import project
from topokd.errors import TopokdError
from topokd.io import write_json, write_text

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Topology- and gradient-guided knowledge distillation of point-cloud segmentation networks.",
)
PUBLISHED = ("default", "semantickitti-mini")  # profiles whose results are committed
PROFILE = Annotated[str, typer.Option(help="A folder of conf/, or `default`.")]


def _load(profile: str) -> P.Params:
    """The resolved parameters of a profile."""
    return P.load_profile(profile)


def _waiting_threads_sleep() -> None:
    """Before torch is loaded: threads that spin while they wait stall a scan where other programs hold a core.

    Alone on a machine spinning is a little faster: OMP_WAIT_POLICY=ACTIVE in the environment keeps it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@app.command()
def info() -> None:
    """Versions, devices, and which optional accelerators are active."""
    import torch

    from topokd.machine import processor_name
    from topokd.models.info import active_backends
    from topokd.pipeline.provenance import versions

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    rows = {"project": str(project.project_root()), "processor": processor_name(), "gpu": gpu}
    for name, value in {**rows, **active_backends(), **versions()}.items():
        typer.echo(f"{name:24s} {value}")


@app.command()
def params(profile: str) -> None:
    """Resolve a profile into the whole validated tree, results/<profile>/params.yaml."""
    from topokd.distillation import resolve_terms

    resolved = resolve_terms(P.load_profile(profile))
    P.dump(resolved, resolved.results / "params.yaml")


@app.command()
def source(file: Path, output: Path) -> None:
    """Write the fingerprint of the data set that a parameter file points at."""
    from topokd.datasets.fingerprint import fingerprint

    write_json(output, fingerprint(P.load(file.resolve()).data_root))


@app.command()
def notebook(
    script: Path,
    output: Annotated[Path, typer.Option("--output", "-o", help="Path of the executed notebook.")],
    parameter: Annotated[list[str], typer.Option("--parameter", "-p", help="NAME=VALUE, any number of times.")] = [],  # noqa: B006
) -> None:
    """Execute one notebook with papermill; equal inputs give equal bytes."""
    from topokd.pipeline import run_notebook
    from topokd.pipeline.lifetime import die_with_parent

    die_with_parent()
    values = {}
    for item in parameter:
        name, separator, value = item.partition("=")
        if not separator:
            raise P.ParameterError(f"-p {item}: write NAME=VALUE")
        values[name] = yaml.safe_load(value)
    run_notebook(script, values, output)


@app.command()
def pair(
    check: Annotated[bool, typer.Option(help="Only say which are out of step; exit status 1 if any.")] = False,
) -> None:
    """Bring each .ipynb and its percent script in step, the edited one wins; and each profile's copy of dvc.yaml."""
    from topokd.pipeline import pair_notebooks, stale_profiles, unpaired_notebooks, update_profiles

    if not check:
        for path in [*pair_notebooks(), *update_profiles()]:
            typer.echo(f"written: {path.relative_to(project.project_root())}")
        return
    out_of_step = [*unpaired_notebooks(), *stale_profiles()]
    for path in out_of_step:
        typer.echo(f"out of step: {path.relative_to(project.project_root())}; run `topokd pair`")
    raise typer.Exit(1 if out_of_step else 0)


@app.command()
def repro(
    profile: PROFILE = "default",
    jobs: Annotated[int, typer.Option(help="Stages at a time; 0: one per core.")] = 0,
    force: Annotated[bool, typer.Option(help="Run every stage again.")] = False,
) -> None:
    """Regenerate a profile's results on all cores; say where the report is and whether the numbers are the same."""
    from topokd.paper.compare import compare_with_git
    from topokd.pipeline import pair_notebooks, reproduce, update_profiles
    from topokd.pipeline.progress import clock

    pair_notebooks()
    update_profiles()
    seconds = reproduce(profile, jobs or None, force)
    results = _load(profile).results
    typer.echo(f"\ndone in {clock(seconds)}\nreport: {results / 'report.html'}\n{compare_with_git(results)}")


@app.command()
def stage(address: str, force: Annotated[bool, typer.Option(help="Also when nothing changed.")] = False) -> None:
    """Run one stage beside others: `dvc repro -s` with patience for DVC's lock. Ends when its parent does."""
    from topokd.pipeline.lifetime import die_with_parent
    from topokd.pipeline.stage import run_stage

    die_with_parent()
    raise typer.Exit(run_stage(address, force))


@app.command()
def stages(profile: PROFILE = "default") -> None:
    """The pipeline's stages in an order in which they can run, for job arrays: name of the group, address for DVC."""
    from topokd.pipeline import read_stages

    for stage in read_stages(profile):
        typer.echo(f"{stage.level}\t{stage.address}")


@app.command()
def readme() -> None:
    """Write the README's table of expected numbers anew, from the committed results."""
    file = project.project_path("README.md")
    write_text(file, current_readme(file.read_text(encoding="utf-8")))


def current_readme(text: str) -> str:
    """README.md as the results of the published profiles would have it."""
    from topokd.paper.readme import expected_numbers, refresh

    folders = [project.project_path("results") / profile for profile in PUBLISHED]
    return refresh(text, expected_numbers([folder for folder in folders if (folder / "runs").is_dir()]))


@app.command()
def train(
    role: Annotated[str, typer.Argument(help="teacher, or a row of the ablation: plain, kd, kd_topo, kd_grad, full.")],
    seed: int = 0,
    profile: PROFILE = "default",
) -> None:
    """Train one network outside the pipeline (the pipeline's own notebooks do the same); resumes where it stopped."""
    from topokd.training import train_student, train_teacher

    resolved = _load(profile)
    record = train_teacher(resolved, seed) if role == "teacher" else train_student(resolved, role, seed)
    typer.echo(f"{record['run']}: mIoU {100 * record['evaluation']['miou_skip']:.1f} % over the classes present")


@app.command()
def predict(
    checkpoint: Annotated[Path, typer.Argument(help="Weights that topokd trained (.safetensors).")],
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A scan, or a folder of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder; or, for one scan, a file.")],
    format: Annotated[str | None, typer.Option(help="label (uint32 ids), ply (coloured points) or npy.")] = None,
    columns: Annotated[int | None, typer.Option(help="float32 values per point in .bin files; else 4 or 5.")] = None,
    intensity_scale: Annotated[float | None, typer.Option(help="Full scale of the intensities; else detected.")] = None,
    voxel_size: Annotated[float | None, typer.Option(help="Metres; else that of the training.")] = None,
    tta: Annotated[int, typer.Option(help="Rotations about z that are averaged.")] = 1,
    views: Annotated[int, typer.Option(min=0, help="How many scans get a 3D page beside their labels.")] = 1,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; else a GPU if there is one.")] = None,
    amp: Annotated[str, typer.Option(help="off (float32); bf16 or fp16 where the processor has it.")] = "off",
    measure: Annotated[int, typer.Option(help="Also time N runs of one scan, file to classes, and its memory.")] = 0,
) -> None:
    """Label scans (.bin, .pcd, .ply, .las, .laz, .npy) with a trained network; docs/predict.md shows how."""
    _waiting_threads_sleep()
    from topokd.predict_files import FORMATS, Labeller, label_files, measure_file

    if format is not None and format not in FORMATS:
        raise P.ParameterError(f"--format {format}: choose one of {', '.join(FORMATS)}")
    labeller = Labeller(checkpoint, voxel_size, tta, device, amp)
    if measure:
        cost = measure_file(labeller, source, measure, columns, intensity_scale)
        tensors, weights, process = (
            cost[name] / 1e6 for name in ("peak_tensor_bytes", "weight_bytes", "process_bytes")
        )
        typer.echo(f"{cost['latency_s']:.3f} s from file to classes, {1 / cost['latency_s']:.2f} scans/s")
        typer.echo(
            f"{tensors:.0f} MB of tensors beside {weights:.1f} MB of weights; {process:.0f} MB in the whole process"
        )
    written, refused = label_files(labeller, source, output, format, columns, intensity_scale, views)  # type: ignore[arg-type]
    for path in written if len(written) <= 10 else [*written[:3], Path("..."), *written[-3:]]:
        typer.echo(str(path))
    if refused:  # each with its reason in the log
        typer.echo(f"{len(refused)} files were refused, see above", err=True)
    raise typer.Exit(1 if refused else 0)


BENCHMARK = Annotated[str, typer.Argument(help="semantickitti, nuscenes or waymo.")]
FRAMES = Annotated[Path | None, typer.Option(help="Waymo's list of test frames: context name,timestamp a line.")]


@app.command()
def evaluate(
    benchmark: BENCHMARK,
    checkpoint: Path,
    root: Annotated[Path, typer.Argument(help="Folder of the data set, as its owners release it.")],
    split: Annotated[str, typer.Option(help="A split with labels.")] = "val",
    version: Annotated[str | None, typer.Option(help="nuScenes: v1.0-trainval or v1.0-mini.")] = None,
    voxel_size: Annotated[float | None, typer.Option(help="Metres; else that of the training.")] = None,
    tta: Annotated[int, typer.Option(help="Rotations about z that are averaged.")] = 1,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the numbers as .json.")] = None,
) -> None:
    """Predict a labelled split and print what the benchmark's own tool would print, in percent."""
    _waiting_threads_sleep()
    from topokd.evaluation import evaluate as count
    from topokd.evaluation.official import official_scores
    from topokd.evaluation.submission.produce import benchmark_split
    from topokd.predict_files import Labeller

    labeller = Labeller(checkpoint, voxel_size, tta)
    dataset = benchmark_split(benchmark, root, split, sweeps=labeller.sweeps, version=version)
    labeller.need_classes(dataset.class_names, benchmark)
    rows = official_scores(count(labeller.model, dataset, labeller.voxel_size, tta), benchmark).rows()  # type: ignore[arg-type]
    typer.echo(f"{benchmark} {split}: {len(dataset):,} scans of {len(dataset.parts):,} parts; {tta} views per scan")
    for name, value in rows.items():
        typer.echo(f"{name:24s}{value:8.2f}")
    if output is not None:
        about = {"benchmark": benchmark, "split": split, "scans": len(dataset), "tta": tta}
        write_json(output, {**about, "percent": rows})


@app.command()
def submit(
    benchmark: BENCHMARK,
    checkpoint: Path,
    root: Annotated[Path, typer.Argument(help="Folder of the data set, as its owners release it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .zip, a folder, or a .bin, by benchmark.")],
    split: str = "test",
    frames: FRAMES = None,
    account: Annotated[str, typer.Option(help="Waymo: the registered e-mail address.")] = "",
    method: Annotated[str, typer.Option(help="Waymo: the method's name, up to 25 letters.")] = "",
    author: Annotated[list[str], typer.Option(help="Waymo: an author, any number of times.")] = [],  # noqa: B006
    affiliation: Annotated[str, typer.Option(help="Waymo: the authors' institution.")] = "",
    description: Annotated[str, typer.Option(help="Waymo: the method in a few words.")] = "",
    external: Annotated[bool, typer.Option("--external", help="nuScenes: trained with further data.")] = False,
    method_link: Annotated[str, typer.Option(help="Waymo: address of the paper or the code.")] = "",
    voxel_size: Annotated[float | None, typer.Option(help="Metres; else that of the training.")] = None,
    tta: Annotated[int, typer.Option(help="Rotations about z that are averaged.")] = 1,
) -> None:
    """Predict a benchmark's test split, write what its server takes, and check it."""
    _waiting_threads_sleep()
    from topokd.evaluation.submission import SubmissionInfo
    from topokd.evaluation.submission.produce import submission_split, validate_submission, write_submission
    from topokd.predict_files import Labeller

    about = None
    if benchmark == "waymo":
        about = SubmissionInfo(account, method, tuple(author), affiliation, description, method_link)
    labeller = Labeller(checkpoint, voxel_size, tta)
    dataset = submission_split(benchmark, root, split, frames, labeller.sweeps)
    labeller.need_classes(dataset.class_names, benchmark)
    write_submission(benchmark, labeller.model, dataset, labeller.voxel_size, output, tta, split, about, external)
    _report(output, validate_submission(benchmark, output, dataset, split))


@app.command()
def validate(
    benchmark: BENCHMARK,
    submission: Path,
    root: Annotated[Path, typer.Argument(help="Folder of the data set, to compare with.")],
    split: str = "test",
    frames: FRAMES = None,
) -> None:
    """Say what a benchmark's server would reject in a submission; exit status 1 if anything."""
    from topokd.evaluation.submission.produce import submission_split, validate_submission

    _report(
        submission, validate_submission(benchmark, submission, submission_split(benchmark, root, split, frames), split)
    )


data_app = typer.Typer(no_args_is_help=True, help="Look after data sets.")
app.add_typer(data_app, name="data")


@data_app.command("check")
def data_check(
    root: Annotated[Path, typer.Argument(help="Folder of the data set, as its owners release it.")],
    dataset: Annotated[str | None, typer.Option(help="semantickitti, nuscenes or waymo; else seen by folders.")] = None,
) -> None:
    """Read a whole data set: counts, lengths, classes, missing and damaged files; exit status 1 if any is wrong."""
    from topokd.datasets.check import check_dataset

    if dataset not in (None, "semantickitti", "nuscenes", "waymo"):
        raise P.ParameterError(f"--dataset {dataset}: choose semantickitti, nuscenes or waymo")
    report = check_dataset(root, dataset)  # type: ignore[arg-type]
    typer.echo(f"{root}: {report.dataset}")
    for split in report.splits:
        for line in split.lines():
            typer.echo(line)
    _listed(report.problems)
    typer.echo(f"{len(report.problems):,} problems" if report.problems else "nothing is wrong")
    raise typer.Exit(1 if report.problems else 0)


def _listed(problems: list[str]) -> None:
    for problem in problems[:50]:
        typer.echo(problem)
    if len(problems) > 50:
        typer.echo(f"... and {len(problems) - 50:,} more")


def _report(path: Path, problems: list[str]) -> None:
    _listed(problems)
    typer.echo(f"{path}: " + (f"would be rejected, {len(problems)} problems" if problems else "valid"))
    raise typer.Exit(1 if problems else 0)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of ours.")],
    output: Annotated[Path, typer.Argument(help="net.pt2 (torch.export) or net.onnx.")],
) -> None:
    """Export a network as a fixed graph for clouds of any size; see topokd.models.export for its inputs."""
    from topokd.models import load_checkpoint
    from topokd.models.export import save_onnx, save_program

    writers = {".pt2": save_program, ".onnx": save_onnx}
    if output.suffix not in writers:
        raise P.ParameterError(f"{output}: end the name in .pt2 (torch.export) or .onnx")
    writers[output.suffix](output, load_checkpoint(checkpoint))
    typer.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    """Entry point: errors that a user can act on are printed without a traceback.

    Those are topokd's own, and what the system says about a path that cannot be read or written.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        app()
    except TopokdError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        path = error.filename2 or error.filename  # the second is where a finished file was to go
        if path is None:
            typer.echo(f"error: {error}", err=True)
        else:
            typer.echo(f"error: {path}: {error.strerror}; choose a path that can be used, or mend this one", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
