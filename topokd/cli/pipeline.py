"""Commands that run the experiments; they need a checkout of the project."""

from __future__ import annotations

from typing import Annotated

import typer

from topokd.cli.checkout import require_checkout
from topokd.cli.completion import profiles, rows
from topokd.errors import ParameterError

PROFILE = Annotated[str, typer.Option(help="`default`, or the name of a file in conf/.", autocompletion=profiles)]


def repro(
    profile: PROFILE = "default",
    jobs: Annotated[int, typer.Option(min=0, help="Stages at a time; 0: one per core.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Run every stage again.")] = False,
) -> None:
    """Regenerate a profile's results on all cores and compare them with the committed ones."""
    from topokd.paper.regression_check import compare
    from topokd.pipeline.pairing import pair_notebooks
    from topokd.pipeline.progress import clock
    from topokd.pipeline.scheduler import reproduce
    from topokd.project import results_path

    require_checkout()
    pair_notebooks()
    seconds = reproduce(profile, jobs or None, force)
    results = results_path(profile)
    typer.echo(f"\ndone in {clock(seconds)}\nreport: {results / 'report.html'}\n{compare(results)}")


def status(
    profile: PROFILE = "default",
    every: Annotated[bool, typer.Option("--all", help="List the stages that are done, too.")] = False,
) -> None:
    """Show the progress of a profile: stages done, running, ready and waiting, with their times."""
    from topokd.pipeline.status import profile_status, summary

    require_checkout()
    statuses = profile_status(profile)
    for stage in statuses:
        if every or stage.state != "done":
            typer.echo(stage.line())
    typer.echo(f"{profile}: {summary(statuses)}")


def pdf(profile: PROFILE = "default") -> None:
    """Print a profile's report to results/PROFILE/report.pdf; needs Chromium or Chrome."""
    from topokd.paper.pdf import write_pdf
    from topokd.project import results_path

    require_checkout()
    path = write_pdf(results_path(profile) / "report.html")
    typer.echo(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")


def train(
    row: Annotated[
        str,
        typer.Argument(
            metavar="ROW", help="teacher, or a row of the ablation (`rows` in params.yaml).", autocompletion=rows
        ),
    ],
    seed: Annotated[int, typer.Option(min=0, help="Seed of initial weights and batches.")] = 0,
    profile: PROFILE = "default",
) -> None:
    """Train one network outside the pipeline; resumes from its last state."""
    from topokd import params as P
    from topokd.distillation import resolve_terms
    from topokd.training import train_student, train_teacher
    from topokd.training.distributed import place

    require_checkout()
    params = resolve_terms(P.load_profile(profile))
    if row != "teacher" and row not in params.rows:
        raise ParameterError(f"{row!r} is not a row of the ablation; choose teacher, {', '.join(params.rows)}")
    record = train_teacher(params, seed) if row == "teacher" else train_student(params, row, seed)
    here = place()
    if here is None or here.rank == 0:
        typer.echo(f"{record['run']}: mIoU {100 * record['evaluation']['miou_skip']:.1f} % over the classes present")


def stages(profile: PROFILE = "default") -> None:
    """List a profile's stages in an order in which they can run: group and DVC address, for job arrays."""
    from topokd.pipeline.graph import read_stages
    from topokd.pipeline.profiles import list_profile

    require_checkout()
    if list_profile(profile):
        typer.echo(f"added {profile} to `profiles` in params.yaml", err=True)
    for stage in read_stages(profile):
        typer.echo(f"{stage.group}\t{stage.address}")
