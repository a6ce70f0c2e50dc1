"""Commands that the pipeline's stages and the Makefile call; they need a checkout of the project."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from topokd.cli.checkout import require_checkout
from topokd.cli.completion import profiles

PUBLISHED = ("default", "semantickitti-mini")  # profiles with committed results
PROFILE_NAME = Annotated[
    str,
    typer.Argument(metavar="PROFILE", help="`default`, or the name of a file in conf/.", autocompletion=profiles),
]


def params(profile: PROFILE_NAME) -> None:
    """Write a profile's whole validated parameters to results/PROFILE/params.yaml, for the other stages to read.

    Also workspace/PROFILE/scans/description.yaml, the part that describes the scans of the profile.
    """
    from topokd import params as P
    from topokd.distillation import resolve_terms
    from topokd.io import write_text
    from topokd.paper.leftovers import leftovers
    from topokd.pipeline.profiles import check_profile
    from topokd.project import project_root
    from topokd.scans import label_map_of

    require_checkout()
    resolved = resolve_terms(P.load_profile(profile))
    check_profile(resolved)
    P.dump(resolved, resolved.results / "params.yaml")
    label_map = label_map_of(resolved.data)
    description = {**P.to_dict(resolved.data), **({"label_map": P.to_dict(label_map)} if label_map else {})}
    file = resolved.workspace / "scans" / "description.yaml"
    write_text(file, yaml.safe_dump(description, sort_keys=False))
    for leftover in leftovers(resolved):
        typer.echo(
            f"{leftover.relative_to(project_root())} is of a run that the profile {profile} does not have: it is "
            "ignored; delete it with `git rm` if you do not need it"
        )


def notebook(
    script: Annotated[
        Path,
        typer.Argument(metavar="SCRIPT", help="Percent script of the notebook, such as notebooks/30_student.py."),
    ],
    profile: Annotated[
        str, typer.Option(help="Profile; its results/PROFILE/params.yaml is read.", autocompletion=profiles)
    ] = "default",
    parameter: Annotated[list[str], typer.Option("--parameter", "-p", help="NAME=VALUE; may be repeated.")] = [],  # noqa: B006
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Path of the executed copy; if absent, in workspace/PROFILE/notebooks/."),
    ] = None,
) -> None:
    """Execute one notebook with papermill; equal inputs give equal bytes."""
    from topokd.pipeline.notebook import run_notebook
    from topokd.project import workspace_path
    from topokd.stopping import die_with_parent

    values = dict(_parse_parameter(item) for item in parameter)
    require_checkout()
    die_with_parent()
    named = [f"-{value}" if isinstance(value, str) else f"-{name}{value}" for name, value in values.items()]
    executed = workspace_path(profile) / "notebooks" / f"{script.stem}{''.join(named)}.ipynb"
    run_notebook(script, {"params_file": f"results/{profile}/params.yaml", **values}, output or executed)


def _parse_parameter(item: str) -> tuple[str, Any]:
    from topokd.errors import ParameterError
    from topokd.yaml_text import parse_yaml

    name, separator, value = item.partition("=")
    if not separator or not name:
        raise ParameterError(f"-p {item}: write NAME=VALUE")
    try:
        return name, parse_yaml(value, value)
    except ParameterError:
        raise ParameterError(f"-p {item}: {value!r} is not a valid YAML value") from None


def metrics(profile: PROFILE_NAME) -> None:
    """Write the mIoU of every run to results/PROFILE/metrics.json, for `dvc metrics show` and `dvc exp show`."""
    from topokd import params as P
    from topokd.pipeline.metrics import write_metrics
    from topokd.project import results_path

    require_checkout()
    write_metrics(P.load(results_path(profile) / "params.yaml"))


def stage(
    address: Annotated[
        str,
        typer.Argument(metavar="ADDRESS", help="A stage as `topokd stages` lists it: student@default-full-0."),
    ],
    force: Annotated[bool, typer.Option("--force", help="Run it even if nothing changed.")] = False,
) -> None:
    """Run one stage while others run, without DVC's lock while it computes; ends when its parent does."""
    from topokd.pipeline.stage import run_stage
    from topokd.stopping import die_with_parent

    require_checkout()
    die_with_parent()
    raise typer.Exit(run_stage(address, force))


def pair(
    check: Annotated[
        bool, typer.Option("--check", help="Only list notebooks that differ from their script; exit status 1 if any.")
    ] = False,
    clean: Annotated[
        bool,
        typer.Option("--clean", help="Copy one .ipynb from standard input to output, without outputs."),
    ] = False,
) -> None:
    """Update the .ipynb of each edited percent script, and the script of each edited .ipynb."""
    from topokd.pipeline.pairing import cleaned_text, pair_notebooks, unpaired_notebooks
    from topokd.project import project_root

    if clean:
        sys.stdout.buffer.write(cleaned_text(sys.stdin.buffer.read()).encode())
        return
    require_checkout()
    if not check:
        for path in pair_notebooks():
            typer.echo(f"written: {path.relative_to(project_root())}")
        return
    unpaired = unpaired_notebooks()
    for path in unpaired:
        typer.echo(f"not paired: {path.relative_to(project_root())}; run `topokd pair`")
    raise typer.Exit(1 if unpaired else 0)


def readme() -> None:
    """Rewrite the README's findings and tables of expected numbers from the committed results."""
    from topokd.io import write_text
    from topokd.project import project_path

    require_checkout()
    file = project_path("README.md")
    write_text(file, current_readme(file.read_text(encoding="utf-8")))


def current_readme(text: str) -> str:
    """README.md with its findings and tables made from the results of the published profiles."""
    from topokd.paper.readme import details_text, expected_numbers, findings_text, refresh
    from topokd.project import results_path

    folders = [results_path(profile) for profile in PUBLISHED]
    measured = [folder for folder in folders if (folder / "runs").is_dir()]
    blocks = {"findings": findings_text, "details": details_text, "expected numbers": expected_numbers}
    for block, write in blocks.items():
        text = refresh(text, block, write(measured))
    return text
