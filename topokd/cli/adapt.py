"""The command that adapts a network to a user's own sensor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topokd.cli.completion import label_maps
from topokd.cli.data import ROOT

if TYPE_CHECKING:
    from topokd.adaptation import Adaptation


def adapt(
    teacher: Annotated[
        Path,
        typer.Argument(metavar="TEACHER", help="Checkpoint of the larger network (.safetensors), with any classes."),
    ],
    root: ROOT,
    labels: Annotated[
        str,
        typer.Option(help="Its label map: a name in conf/labels, or a .yaml file.", autocompletion=label_maps),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="File for the student (.safetensors); a record (.json) is written next to it."
        ),
    ],
    unlabelled: Annotated[list[Path], typer.Option(help="Folder of unlabelled scans; may be repeated.")] = [],  # noqa: B006
    student: Annotated[
        str, typer.Option(help="Preset of the student, or a checkpoint to start from.")
    ] = "ptv3-student-medium",
    teacher_steps: Annotated[
        int, typer.Option(min=0, help="Training steps of the teacher on the labelled scans; 0: none.")
    ] = 500,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of the student.")] = 1500,
    batch_size: Annotated[int, typer.Option(min=2, help="Clouds per step, half of them unlabelled.")] = 4,
    crop_voxels: Annotated[int, typer.Option(min=0, help="Voxels of a training sample; 0: the whole scan.")] = 8000,
    confidence: Annotated[
        float,
        typer.Option(min=0, max=1, help="Class probability from which the teacher's prediction is a pseudo-label."),
    ] = 0.9,
    weight: Annotated[float, typer.Option(help="Weight of the teacher's class probabilities in the loss.")] = 1.0,
    hold_out: Annotated[
        float, typer.Option(help="Share of the labelled scans to score on, if there is no split val.")
    ] = 0.25,
    voxel_size: Annotated[float | None, typer.Option(help="Metres; if absent, the teacher's.")] = None,
    tta: Annotated[int, typer.Option(min=1, help="Rotations to average, for pseudo-labels and scores.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of new weights and of the batches.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Processes that read and augment scans.")] = 0,
    amp: Annotated[str, typer.Option(help="On a GPU: off (float32), bf16 or fp16.")] = "off",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; if absent, a GPU if there is one.")] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also train a student on the labelled scans alone, and score it.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output made from other inputs.")] = False,
) -> None:
    """Train a student for your own sensor from a few labelled scans, unlabelled ones and a larger network."""
    from topokd import schema
    from topokd.adaptation import Settings
    from topokd.adaptation import adapt as run
    from topokd.label_maps import load_label_map

    settings = schema.validate(
        Settings,
        {
            **{"student": student, "teacher_steps": teacher_steps, "steps": steps, "batch_size": batch_size},
            **{"crop_voxels": crop_voxels, "confidence": confidence, "weight": weight, "voxel_size": voxel_size},
            **{"tta": tta, "seed": seed, "threads": threads, "workers": workers, "amp": amp},
            "compare": compare,
        },
    )
    adaptation = run(
        *(teacher, root, load_label_map(labels), output, unlabelled, settings),
        hold_out=hold_out,
        device=device,
        overwrite=overwrite,
    )
    _print_scores(adaptation)


def _print_scores(adaptation: Adaptation) -> None:
    """Counts of the scans, IoU of the networks side by side, and the files written."""
    from topokd.datasets.metric import class_scores

    typer.echo(
        f"{adaptation.labelled} labelled scans, {adaptation.unlabelled} unlabelled "
        f"({100 * adaptation.pseudo_share:.0f} % of their points with a pseudo-label); "
        f"scored on {adaptation.held_out} held-out scans ({adaptation.rule})"
    )
    student_score, alone = adaptation.student_score, adaptation.alone_score
    roles = {"student": student_score, "teacher": adaptation.teacher_score, "alone": alone}
    scores = {role: class_scores(score).rows() for role, score in roles.items() if score is not None}
    typer.echo(f"{'IoU in percent':24s}" + "".join(f"{role:>8s}" for role in scores))
    for name in scores["student"]:
        typer.echo(f"{name:24s}" + "".join(f"{rows[name]:8.2f}" for rows in scores.values()))
    if alone is not None and alone.miou("skip") >= student_score.miou("skip"):
        typer.echo("a student of the labelled scans alone is at least as good: the teacher does not help here")
    typer.echo(f"{adaptation.student}\n{adaptation.record}")
