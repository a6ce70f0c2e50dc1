"""The measured panels of Tables 1 and 4: a teacher and a few students on the synthetic world in another format."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from topokd.data import IGNORE
from topokd.data.dataset import ScanDataset
from topokd.params import Params, dump
from topokd.training import train_student, train_teacher


def panel_params(params: Params, layout: str) -> Params:
    """Parameters of one panel: ``params`` with the sizes of ``params.panels`` and the world in ``layout``.

    Classes absent from truth and prediction are left out, even if the benchmark counts them (Waymo: as 1): a few
    streets lack some classes, and a fixed value would say nothing about a network. Results go to
    ``results/<profile>/panels/<layout>``, scans and weights to the same place below workspace/.

    >>> from topokd.params import load_profile
    >>> small = panel_params(load_profile("default"), "waymo")
    >>> small.profile, small.data.layout, small.seeds, small.train_rows, small.evaluation.absent
    ('default/panels/waymo', 'waymo', (0,), ('plain', 'full'), 'skip')
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
        teacher_seeds=params.seeds[:1],
        train_rows=sizes.rows,
        data=params.data.replace(
            dataset="synthetic",
            layout=layout,
            version="v1.0-trainval",  # written by the synthetic world
            sweeps=1,
            root="",
            synthetic=world,
        ),
        train=params.train.replace(teacher_steps=sizes.teacher_steps, student_steps=sizes.student_steps),
        evaluation=params.evaluation.replace(absent="skip"),
    )


def measure_panel(params: Params, layout: str) -> dict[str, dict[str, Any]]:
    """Train and evaluate the networks of a panel.

    Args:
        params: parameters of the profile.
        layout: benchmark that defines the file format of the world.

    Returns:
        Run records by name: ``"teacher"``, and the rows of ``params.panels.rows``.
    """
    panel = panel_params(params, layout)
    seed = panel.seeds[0]
    dump(panel, panel.results / "params.yaml")
    records = {"teacher": train_teacher(panel, seed)}
    return records | {row: train_student(panel, row, seed) for row in panel.train_rows}


def sizes_table(splits: dict[str, ScanDataset]) -> pd.DataFrame:
    """Scans, points and classes that occur, per split."""
    columns = {}
    for split, scans in splits.items():
        labels = np.concatenate([scan.label for scan in scans])
        counts = np.bincount(labels[labels != IGNORE], minlength=scans.num_classes)
        columns[split] = {
            "scans": len(scans), "points": sum(map(len, scans)), "classes seen": int((counts > 0).sum())
        }  # fmt: skip
    return pd.DataFrame(columns)


def scores_table(records: dict[str, dict[str, Any]], absent: str) -> pd.DataFrame:
    """mIoU and IoU per class of run records in percent, as text; ``absent``: convention of the mIoU."""
    evaluations = {name: record["evaluation"] for name, record in records.items()}
    names = next(iter(evaluations.values()))["class_names"]
    table = pd.DataFrame(
        {name: [evaluation[f"miou_{absent}"], *evaluation["iou"]] for name, evaluation in evaluations.items()},
        index=["mIoU", *names],
    )
    return (100 * table.astype(float)).map("{:.1f}".format).replace("nan", "absent")  # as in Tables 1 and 4


def gain_sentence(records: dict[str, dict[str, Any]], panel: Params) -> str:
    """A sentence on the difference between the last and the first student of a panel."""
    metric = f"miou_{panel.evaluation.absent}"
    first, last = panel.train_rows[0], panel.train_rows[-1]
    gain = 100 * (records[last]["evaluation"][metric] - records[first]["evaluation"][metric])
    return (
        f"The student “{panel.rows[last].label}” is {abs(gain):.1f} points {'above' if gain > 0 else 'below'} "
        f"“{panel.rows[first].label}”: with one seed this only shows that the pipeline runs; it is no evidence for or "
        "against the method."
    )
