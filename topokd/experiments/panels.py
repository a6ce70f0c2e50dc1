"""The measured panels of Tables 1 and 4: one teacher and two students on the synthetic world in another layout."""

from __future__ import annotations

from typing import Any

from topokd.params import Params, dump
from topokd.training import train_student, train_teacher


def panel_params(params: Params, layout: str) -> Params:
    """Parameters of one panel: ``params`` with the sizes of ``params.panels`` and the world in ``layout``.

    Classes that neither truth nor prediction holds are left out, whatever the benchmark has them count (Waymo: 1): a
    few streets lack some, and a filler would say nothing about a network. Its results go to
    ``results/<profile>/panels/<layout>``, its world and weights to the same place under workspace/.

    >>> small = panel_params(load_profile("default"), "waymo")
    >>> small.profile, small.data.layout, small.seeds, small.evaluation.absent
    ('default/panels/waymo', 'waymo', (0,), 'skip')
    """
    sizes = params.panels
    profile = f"{params.profile}/panels/{layout}"
    world = params.data.synthetic.replace(
        azimuths=sizes.azimuths,
        train_sequences=tuple(range(sizes.train_sequences)),
        val_sequences=tuple(range(100, 100 + sizes.val_sequences)),
        scans_per_sequence=sizes.scans_per_sequence,
        val_scans_per_sequence=sizes.scans_per_sequence,
    )
    return params.replace(
        profile=profile,
        seeds=params.seeds[:1],
        train_rows=sizes.rows,
        data=params.data.replace(
            dataset="synthetic",
            layout=layout,
            version="v1.0-trainval",  # the writer's
            sweeps=1,
            root="",
            synthetic=world,
        ),
        train=params.train.replace(teacher_steps=sizes.teacher_steps, student_steps=sizes.student_steps),
        evaluation=params.evaluation.replace(absent="skip"),
    )


def measure_panel(params: Params, layout: str) -> dict[str, dict[str, Any]]:
    """Train and evaluate a teacher and the students of ``panels.rows``; their run records by name."""
    panel = panel_params(params, layout)
    seed = panel.seeds[0]
    dump(panel, panel.results / "params.yaml")
    records = {"teacher": train_teacher(panel, seed)}
    return records | {row: train_student(panel, row, seed) for row in panel.train_rows}
