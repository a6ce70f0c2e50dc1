"""Commands about data sets on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from topokd.cli.checkout import name_checkout
from topokd.cli.completion import benchmarks, label_maps, profiles
from topokd.cli.output import counted, print_problems, require_json
from topokd.errors import ParameterError

app = typer.Typer(no_args_is_help=True, help="Check, convert and fingerprint data sets.")
ROOT_HELP = "Folder of the data set, in the layout of its release."
ROOT = Annotated[Path, typer.Argument(metavar="ROOT", help=ROOT_HELP)]


@app.command()
def check(
    root: ROOT,
    dataset: Annotated[
        str | None, typer.Option(help="Its name; if absent, detected.", autocompletion=benchmarks)
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Label map of another data set: a name in conf/labels, or a .yaml file.", autocompletion=label_maps
        ),
    ] = None,
) -> None:
    """Read a whole data set: counts, classes, missing and damaged files; exit status 1 if anything is wrong."""
    from topokd.datasets.check import check_dataset
    from topokd.label_maps import check_mapped, load_label_map

    if labels is not None:
        if dataset is not None:
            raise ParameterError("name either --dataset or --labels, which describes another data set")
        report = check_mapped(root, load_label_map(labels))
    else:
        report = check_dataset(root, dataset)
    typer.echo(f"{root}: {report.dataset}")
    for split in report.splits:
        for line in split.lines():
            typer.echo(line)
    print_problems(report.problems)
    typer.echo(counted(len(report.problems), "problem") if report.problems else "nothing is wrong")
    raise typer.Exit(1 if report.problems else 0)


@app.command()
def fingerprint(
    root: Annotated[Path | None, typer.Argument(metavar="ROOT", help=f"{ROOT_HELP} Or name a profile.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="Take the folder from this profile's data.root.", autocompletion=profiles)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write a JSON file instead of printing.")
    ] = None,
) -> None:
    """Count the files and bytes of a data set and digest them, so that the pipeline notices other scans."""
    from topokd import params as P
    from topokd.datasets.fingerprint import fingerprint as compute
    from topokd.io import write_json
    from topokd.project import project_path
    from topokd.scans import label_map_of

    relative = output is not None and not output.is_absolute()  # to the project
    output = project_path(output) if output is not None else None
    require_json(output)
    if (root is None) == (profile is None):
        raise ParameterError("name either a folder or a profile: `topokd data fingerprint ROOT` or `--profile NAME`")
    if profile is not None or relative:
        name_checkout()
    if root is not None:
        fingerprints = compute(root)
    else:
        params = P.load_profile(str(profile))
        fingerprints = compute(params.data_root, whole=label_map_of(params.data) is not None)
    if output is None:
        typer.echo(json.dumps(fingerprints, indent=2))
    else:
        write_json(output, fingerprints)


@app.command()
def convert(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="kitti360 or pandaset.")],
    root: ROOT,
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder, in SemanticKITTI's layout.")],
    every: Annotated[int, typer.Option(min=1, help="Convert every EVERY-th frame.")] = 1,
    distance: Annotated[
        float | None, typer.Option(help="kitti360: metres to the nearest labelled point, at most; 0.3 if absent.")
    ] = None,
    sensor: Annotated[
        str | None, typer.Option(help="pandaset: pandar64 (if absent), pandargt (the forward one) or both.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier, different conversion.")] = False,
) -> None:
    """Convert KITTI-360's clouds or PandaSet's pickles to labelled scans, once; resumable."""
    from topokd.conversion.kitti360 import convert_kitti360
    from topokd.conversion.pandaset import convert_pandaset

    converters: dict[str, tuple[Callable[..., dict[str, int | float]], dict[str, object]]] = {
        "kitti360": (convert_kitti360, {"distance": distance}),
        "pandaset": (convert_pandaset, {"sensor": sensor}),
    }
    if dataset not in converters:
        raise ParameterError(f"no conversion of {dataset!r}: choose one of {', '.join(converters)}")
    for name, (_, own) in converters.items():
        for option, value in own.items():
            if name != dataset and value is not None:
                raise ParameterError(f"remove --{option}: it is an option of {name}")
    run, own = converters[dataset]
    given = {option: value for option, value in own.items() if value is not None}
    counts = run(root, output, every=every, overwrite=overwrite, **given)
    typer.echo(
        f"{output}: {counts['scans']:,} scans, {counts['points']:,} points, {100 * counts['labelled']:.1f} % with a "
        f"label; check them with: topokd data check {output} --labels {dataset}"
    )
