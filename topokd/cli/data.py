"""Commands about data sets on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from topokd.errors import ParameterError

app = typer.Typer(no_args_is_help=True, help="Check and fingerprint data sets.")
ROOT_HELP = "Folder of the data set, as its owners release it."


@app.command()
def check(
    root: Annotated[Path, typer.Argument(help=ROOT_HELP)],
    dataset: Annotated[str | None, typer.Option(help="Its name; if absent, detected.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="Label map of another data set: a name in conf/labels, or a .yaml file.")
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
    typer.echo(f"{len(report.problems):,} problems" if report.problems else "nothing is wrong")
    raise typer.Exit(1 if report.problems else 0)


@app.command()
def fingerprint(
    root: Annotated[Path | None, typer.Argument(help=f"{ROOT_HELP} Or name a profile.")] = None,
    profile: Annotated[str | None, typer.Option(help="Take the folder from this profile's data.root.")] = None,
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

    if (root is None) == (profile is None):
        raise ParameterError("name either a folder or a profile: `topokd data fingerprint ROOT` or `--profile NAME`")
    if root is not None:
        found = compute(root)
    else:
        params = P.load_profile(str(profile))
        found = compute(params.data_root, whole=label_map_of(params.data) is not None)
    if output is None:
        typer.echo(json.dumps(found, indent=2))
    else:
        write_json(project_path(output), found)


def print_problems(problems: list[str], most: int = 50) -> None:
    """Print problems, one a line, and how many more there are."""
    for problem in problems[:most]:
        typer.echo(problem)
    if len(problems) > most:
        typer.echo(f"... and {len(problems) - most:,} more")
