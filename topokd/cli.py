"""The command line: what the pipeline's stages and the Makefile call."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

from topokd import params as P
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
    return P.load("params.yaml" if profile == "default" else f"conf/{profile}/params.yaml")


@app.command()
def info() -> None:
    """Versions, devices, and which optional accelerators are active."""
    import torch

    from topokd.models.backends import active_backends
    from topokd.pipeline.provenance import processor_name, versions

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    rows = {"project": str(P.project_root()), "processor": processor_name(), "gpu": gpu}
    for name, value in {**rows, **active_backends(), **versions()}.items():
        typer.echo(f"{name:24s} {value}")


@app.command()
def params(file: Path, output: Path) -> None:
    """Resolve a parameter file (a profile's differences) into the whole validated tree.

    Beside OUTPUT, ablation/<row>.yaml holds what each row of the ablation reads of the distillation's parameters.
    """
    resolved = P.load(file.resolve())
    P.dump(resolved, output)
    for variant in resolved.pipeline.variants:
        text = yaml.safe_dump(P.distillation_slice(resolved, variant), sort_keys=False)
        write_text(output.parent / "ablation" / f"{variant}.yaml", text)


@app.command()
def source(file: Path, output: Path) -> None:
    """Write the fingerprint of the data set that a parameter file points at."""
    from topokd.data.source import fingerprint

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
            typer.echo(f"written: {path.relative_to(P.project_root())}")
        return
    out_of_step = [*unpaired_notebooks(), *stale_profiles()]
    for path in out_of_step:
        typer.echo(f"out of step: {path.relative_to(P.project_root())}; run `topokd pair`")
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
    file = P.project_path("README.md")
    write_text(file, current_readme(file.read_text(encoding="utf-8")))


def current_readme(text: str) -> str:
    """README.md as the results of the published profiles would have it."""
    from topokd.paper.readme import expected_numbers, refresh

    folders = [P.project_path("results") / profile for profile in PUBLISHED]
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
    scan: Annotated[Path, typer.Argument(help="A scan as SemanticKITTI stores it: float32 x, y, z, intensity.")],
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint of ours; it says which network it is.")],
    output: Annotated[Path, typer.Argument(help="Classes per point: .npy (indices), .label (19 classes: raw ids).")],
    voxel_size: Annotated[float, typer.Option(help="Metres; what the network was trained with.")],
    repeats: Annotated[int, typer.Option(help="Also measure: median latency of so many runs, and peak memory.")] = 0,
) -> None:
    """Label one scan: a file in, a file out, in one process."""
    from topokd.evaluation.single_scan import label_file

    found = label_file(scan, checkpoint, output, voxel_size, repeats)
    for name, value in found.items():
        typer.echo(f"{name:24s} {value}")


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
    """Entry point: errors that a user can act on are printed without a traceback."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    try:
        app()
    except TopokdError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
