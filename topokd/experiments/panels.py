"""The measured panels of Tables 1 and 4: one teacher and two students on the synthetic world in another layout."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from topokd.params import Params, dump
from topokd.training.runs import train_student, train_teacher

VARIANTS = ("plain", "full")


def panel_params(params: Params, layout: Literal["nuscenes", "waymo"]) -> Params:
    """Parameters of one panel: ``params`` with the sizes of ``params.panels`` and the world in ``layout``.

    Classes that neither truth nor prediction holds are left out, whatever the benchmark has them count (Waymo: 1): a
    few streets lack some, and a filler would say nothing about a network. Its results go to
    ``results/<profile>/panels/<layout>``, its world and weights to the same place under workspace/.

    >>> small = panel_params(Params(), "waymo")
    >>> small.pipeline.profile, small.data.layout, small.pipeline.seeds, small.evaluation.absent
    ('default/panels/waymo', 'waymo', (0,), 'skip')
    """
    sizes = params.panels
    profile = f"{params.pipeline.profile}/panels/{layout}"
    world = dataclasses.replace(
        params.data.synthetic,
        azimuths=sizes.azimuths,
        train_sequences=tuple(range(sizes.train_sequences)),
        val_sequences=tuple(range(100, 100 + sizes.val_sequences)),
        scans_per_sequence=sizes.scans_per_sequence,
        val_scans_per_sequence=sizes.scans_per_sequence,
    )
    return dataclasses.replace(
        params,
        pipeline=dataclasses.replace(
            params.pipeline, profile=profile, seeds=params.pipeline.seeds[:1], variants=VARIANTS
        ),
        data=dataclasses.replace(
            params.data,
            dataset="synthetic",
            layout=layout,
            version="v1.0-trainval",  # the writer's
            sweeps=1,
            root=f"workspace/{profile}/data",
            synthetic=world,
        ),
        train=dataclasses.replace(params.train, teacher_steps=sizes.teacher_steps, student_steps=sizes.student_steps),
        evaluation=dataclasses.replace(params.evaluation, absent="skip"),
    )


def measure_panel(params: Params, layout: Literal["nuscenes", "waymo"]) -> dict[str, dict[str, Any]]:
    """Train and evaluate a teacher, a student without it and one with all terms; their run records by name."""
    panel = panel_params(params, layout)
    seed = panel.pipeline.seeds[0]
    dump(panel, panel.results / "params.yaml")
    records = {"teacher": train_teacher(panel, seed)}
    return records | {variant: train_student(panel, variant, seed) for variant in VARIANTS}
