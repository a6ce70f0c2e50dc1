"""``topokd slurm``: the pipeline on a SLURM cluster."""

from __future__ import annotations

import collections
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topokd.cli.checkout import require_checkout
from topokd.cli.pipeline import PROFILE
from topokd.errors import ParameterError

if TYPE_CHECKING:
    from topokd.pipeline.slurm.submit import JobPlan

CLUSTER = Annotated[str, typer.Option(help="NAME of conf/cluster-NAME.yaml; if absent, conf/cluster.yaml.")]

app = typer.Typer(no_args_is_help=True, help="Run the pipeline on a SLURM cluster; resources are in conf/cluster.yaml.")


@app.command()
def plan(profile: PROFILE = "default", cluster: CLUSTER = "") -> None:
    """Show what `submit` would submit: stages, resources, and hours measured by the committed runs."""
    from topokd.pipeline.slurm import queue
    from topokd.pipeline.slurm.placement import sbatch_options
    from topokd.pipeline.slurm.submit import make_plan

    require_checkout()
    tasks = None
    try:
        tasks = queue.my_tasks()
    except queue.SlurmError as error:
        typer.echo(f"without the queue ({str(error).splitlines()[0]}): stages in it are listed too", err=True)
    made = make_plan(profile, cluster, tasks)
    typer.echo(f"{len(made.stages)} stages: {len(made.finished)} finished, {len(made.queued)} in the queue")
    for address in made.local:
        typer.echo(f"here, before submitting: {address}")
    rows = [("array", "tasks", "waits for", "hours", "nodes x GPUs", "options of each task")]
    rows += [
        (
            array.kind,
            f"{len(array.stages)}" + (f" ({array.limit} at a time)" if 0 < array.limit < len(array.stages) else ""),
            " ".join(array.needs) or "-",
            _hours(array.seconds, array.unknown),
            str(made.placements[array.kind]),
            " ".join(sbatch_options(array.resources, made.placements[array.kind])),
        )
        for array in made.arrays
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    widths[2] = min(widths[2], 40)
    for row in rows:
        cells = [
            cell if len(cell) <= width else cell[: width - 1] + "…" for cell, width in zip(row, widths, strict=False)
        ]
        typer.echo("  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)), row[5]]))
    _show_placements(made)
    _show_totals(made)
    _show_most_at_once(made)


def _show_placements(made: JobPlan) -> None:
    """Say where the ranks of a training run, as that decides which nodes can hold it."""
    kinds: dict[str, list[str]] = {}
    for array in {array.kind: array for array in made.arrays}.values():
        placed = made.placements[array.kind]
        if placed.nodes > 1:
            words = f"{placed.ranks} ranks on {placed.nodes} nodes, {placed.per_node} on each, started by srun"
            if "{ranks}" not in array.resources.gres and placed.gpus < array.resources.gpus_per_node:
                words += (
                    f"; gres {array.resources.gres} names {placed.gpus} of a node: {{ranks}} in it would use them all"
                )
        elif placed.ranks > 1:
            asked, field = ("GPUs", "gpus_per_node") if placed.gpus else ("cores", "cpus_per_node")
            known = getattr(array.resources, field)
            words = f"{placed.ranks} ranks on one node with {placed.gpus or placed.ranks * placed.cpus} {asked}"
            words += "" if known else f"; if your nodes have fewer, set {field} in the cluster's file"
        else:
            continue
        kinds.setdefault(words, []).append(array.kind)
    for words, names in kinds.items():
        typer.echo(f"{', '.join(names)}: {words}")


def _show_most_at_once(made: JobPlan) -> None:
    """Say what is submitted, and how much of the cluster the largest kind of stage may take at the same time."""
    if not made.arrays:
        return
    tasks = sum(len(array.stages) for array in made.arrays)
    largest = max(len(array.stages) for array in made.arrays)
    line = f"{len(made.arrays)} job arrays with {tasks} tasks are submitted, {largest} in the largest"
    kinds = {}
    for kind, placed in made.placements.items():
        arrays = [array for array in made.arrays if array.kind == kind]
        together = sum(len(array.stages) for array in arrays)
        together = min(together, arrays[0].resources.at_once or together)
        kinds[kind] = (together * placed.nodes * placed.gpus, together * placed.nodes, together)
    kind, (gpus, nodes, together) = max(kinds.items(), key=lambda item: item[1])
    typer.echo(
        f"{line}; most at once: {together} of {kind}, on {nodes} nodes"
        + (f" with {gpus} GPUs" if gpus else "")
        + " unless they share some (at_once in the cluster's file limits it)"
    )


def _hours(seconds: float, unknown: int) -> str:
    known = f"{seconds / 3600:.2f}"
    return known if not unknown else f"{known} + {unknown} unknown" if seconds else "unknown"


def _show_totals(made: JobPlan) -> None:
    total = sum(array.seconds for array in made.arrays)
    unknown = sum(array.unknown for array in made.arrays)
    gpus = {kind: placed.nodes * placed.gpus for kind, placed in made.placements.items()}
    on_gpus = [array for array in made.arrays if gpus[array.kind]]
    gpu = _hours(sum(array.seconds for array in on_gpus), sum(array.unknown for array in on_gpus))
    estimated = "; docs/costs.md estimates trainings on the full data sets" if unknown else ""
    if total:
        words = f"in all {_hours(total, unknown)} hours of tasks, {gpu} of them with a GPU"
        typer.echo(f"{words}, on the machine that made results/{estimated}")
    elif unknown:
        typer.echo(f"no duration of these stages has been recorded yet{estimated}")
    limits = [(array, len(array.stages) * array.resources.limit_seconds / 3600) for array in made.arrays]
    gpu_hours = sum(hours * gpus[array.kind] for array, hours in limits)
    typer.echo(
        f"to the time limits: {sum(hours for _, hours in limits):,.0f} hours of tasks, {gpu_hours:,.0f} GPU-hours; "
        "training that reaches its limit is queued again, and takes as many more"
    )


@app.command()
def submit(profile: PROFILE = "default", cluster: CLUSTER = "") -> None:
    """Submit the stages that are neither finished nor in the queue; harmless at any time."""
    require_checkout()
    _submit(profile, cluster)


def _submit(profile: str, cluster: str) -> None:
    from topokd.pipeline.slurm.submit import submit as send

    sent = send(profile, cluster, typer.echo)
    typer.echo(
        f"{sent} stages submitted; `topokd slurm status --profile {profile}` follows them"
        if sent
        else "nothing left to submit"
    )


@app.command()
def resume(profile: PROFILE = "default", cluster: CLUSTER = "") -> None:
    """Cancel jobs that can never start and submit unfinished stages; training resumes from its state."""
    from topokd.pipeline.slurm.submit import stuck

    require_checkout()
    for address in stuck(profile):
        typer.echo(f"cancelled, it could never start: {address}")
    _submit(profile, cluster)


@app.command()
def status(
    profile: PROFILE = "default",
    all_stages: Annotated[bool, typer.Option("--all", help="Also the stages that are done.")] = False,
) -> None:
    """Show the state of each stage: done, running, pending and why, or failed and its log; status 1 if any failed."""
    from topokd.pipeline.graph import read_progress
    from topokd.pipeline.slurm import jobs, queue

    require_checkout()
    tasks = queue.my_tasks()
    recorded = jobs.read_jobs(profile)
    stages, unfinished = read_progress(profile)
    left = set(unfinished)
    words = {}
    for stage in stages:
        job = recorded.get(stage.address)
        words[stage.address] = jobs.describe(
            profile, stage.address, stage.address not in left, job, tasks.get(job or "")
        )
    for address, text in words.items():
        if all_stages or text != "done":
            typer.echo(f"{address}: {text}")
    counts = collections.Counter(text.split(" ")[0].split("(")[0] for text in words.values())
    typer.echo(", ".join(f"{number} {word}" for word, number in counts.items()))
    raise typer.Exit(1 if counts["failed"] or counts["ended"] else 0)


@app.command()
def logs(
    address: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS", help="A stage, such as teacher@default-0; if absent, the stages that failed."
        ),
    ] = "",
    profile: PROFILE = "default",
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Lines from the end of each log.")] = 40,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines until Ctrl-C.")] = False,
) -> None:
    """Print the end of a stage's log, with all its attempts."""
    from topokd.pipeline.profiles import profile_of
    from topokd.pipeline.slurm import jobs

    require_checkout()
    profile = profile_of(address) or profile
    recorded = jobs.read_jobs(profile)
    if address and address not in recorded:
        raise ParameterError(f"{address} was not submitted; known: {', '.join(recorded) or 'none'}")
    chosen = [address] if address else [a for a, job in recorded.items() if _failed(jobs.read_outcome(profile, a, job))]
    for name in chosen:
        file = jobs.log_file(profile, name.split("@")[0], recorded[name])
        typer.echo(f"{name}: {file}")
        if not file.exists():
            typer.echo("    not started yet")
            continue
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]:
            typer.echo(f"    {line}")
        if follow and address:
            _follow(file)
    if not chosen:
        typer.echo("no stage failed")


def _failed(outcome: object) -> bool:
    return getattr(outcome, "state", "") == "failed"


def _follow(file: Path) -> None:
    with file.open(encoding="utf-8", errors="replace") as stream:
        stream.seek(0, 2)
        while True:
            line = stream.readline()
            if line:
                typer.echo(f"    {line}", nl=False)
            else:
                time.sleep(1.0)


@app.command()
def cancel(
    addresses: Annotated[
        list[str] | None, typer.Argument(metavar="ADDRESS", help="Stages; if absent, all of the profile.")
    ] = None,
    profile: PROFILE = "default",
) -> None:
    """Cancel jobs; training saves its state first, and `resume` continues from it."""
    from topokd.pipeline.slurm.submit import cancel as stop

    require_checkout()
    cancelled = stop(profile, addresses or [])
    typer.echo(f"cancelled: {', '.join(cancelled)}" if cancelled else "none of these stages is in the queue")


@app.command(hidden=True)
def task(
    profile: Annotated[str, typer.Argument(metavar="PROFILE", help="Profile.")],
    addresses: Annotated[
        str, typer.Argument(metavar="ADDRESSES", help="Stages of the array, with commas between them.")
    ],
    index: Annotated[int, typer.Argument(metavar="INDEX", min=0, help="Number of the task in the array.")],
) -> None:
    """Run stage INDEX of ADDRESSES inside a job; the batch script calls it."""
    from topokd.pipeline.slurm.task import run_task

    require_checkout()
    stages = addresses.split(",")
    if not index < len(stages):
        raise ParameterError(f"stage {index} does not exist; the array has {len(stages)}, numbered from 0: {addresses}")
    raise typer.Exit(run_task(profile, stages[index]))
