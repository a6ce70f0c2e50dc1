"""Comparability of each exhibit with the paper."""

from __future__ import annotations

import pandas as pd

from topokd.datasets import BENCHMARKS
from topokd.paper import reported
from topokd.paper.results import Results
from topokd.paper.segmentation_tables import results_for_dataset
from topokd.scans import SYNTHETIC

SERVERS = {  # table: benchmark of the measurement, values reported by the paper
    "Table 1": ("nuscenes", "the nuScenes test server"),
    "Table 2": ("semantickitti", "the SemanticKITTI test server"),
    "Table 4": ("waymo", "the validation and test splits of Waymo"),
}
ABSENT = {"skip": "are left out of the mean", "zero": "count as 0", "one": "count as 1"}


def comparability(results: Results) -> pd.DataFrame:
    """What may and may not be compared with the paper in this profile, by exhibit."""
    evaluation = results.params.evaluation
    augmented = f"Test-time augmentation over {evaluation.tta} rotations."
    rows = {table: _segmentation_table(results, *about) for table, about in SERVERS.items()} | {
        "Table 7": "Levels are not comparable, for the same reasons. The sign and the size of each term's gain over KD "
        "alone can be compared, each on its own data and networks. The paper gives no intervals.",
        "Tables 3, 5, 6": "Parameters, depths, channels, heads and ratios of FLOPs are properties of the networks and "
        "can be compared. Times, frames per second and memory depend on the device: compare the ratios of teacher to "
        "student.",
        "Table 8": "The baseline and the machine differ. The growth with N can be compared, and the ratio of baseline "
        "to ours on one machine. The paper's first forward pass (N = 30) includes a warm-up.",
        "mIoU": f"Classes absent from truth and prediction {ABSENT[evaluation.absent]} here (`evaluation.absent: "
        f"{evaluation.absent}`); the SemanticKITTI server counts them as 0, nuScenes leaves them out, Waymo counts "
        f"them as 1. {'No test-time augmentation.' if evaluation.tta == 1 else augmented}",
    }
    return pd.DataFrame({"Exhibit": list(rows), "What may be compared": list(rows.values())})


def _segmentation_table(results: Results, layout: str, reports: str) -> str:
    """The text on what may be compared in a table of segmentation results."""
    panel, name = results_for_dataset(results, layout), BENCHMARKS[layout].title
    if not panel.runs:
        return f"Not measured: this profile runs on {results.dataset} scans, not on {name}."
    scenes = (
        "The classes and the kind of scans are the same, the split and the training are not: "
        if panel.params.data.dataset == layout
        else "The classes have the same names, but the scenes are synthetic: "
    )
    return (
        f"{_setting(results) if panel is results else _panel_setting(panel, name)} and reports {reports}. {scenes}the "
        "measured numbers are not comparable with the reported ones."
    )


def _setting(results: Results) -> str:
    data, train, model = results.params.data, results.params.train, results.params.model
    networks = (
        "the paper's networks"
        if (model.teacher, model.student) == ("ptv3-teacher", "ptv3-student")
        else f"smaller networks ({model.teacher}, {model.student}) than the paper's"
    )
    length = (
        f"{train.teacher_steps} and {train.student_steps} steps" if train.teacher_steps else f"{train.epochs} epochs"
    )
    scans = next((run["evaluation"]["scans"] for run in results.all_runs()), None)
    where = f"{_named(results)}, validation split" + (f" ({scans} scans)" if scans else "")
    return (
        f"Measured on {where} with {networks}, voxels of {data.voxel_size:g} m, {length} with batch size "
        f"{train.batch_size}; the paper trains {_million('PTv3 (Teacher)')} and {_million('Our Student')} parameters "
        "for 50 epochs with batch size 12 and voxels of 0.05 m"
    )


def _panel_setting(panel: Results, name: str) -> str:
    scans, params = next(run["evaluation"]["scans"] for run in panel.all_runs()), panel.params
    return (
        f"Measured on {_named(panel)} ({scans} scans), seed {', '.join(map(str, params.seeds))}, "
        f"{params.train.teacher_steps} and {params.train.student_steps} steps: this only shows that the {name} "
        "pipeline works end to end. The paper trains on the real scans"
    )


def _named(results: Results) -> str:
    """The data set in a sentence: a benchmark has a name, ours an article."""
    return f"the {results.dataset}" if results.params.data.dataset == SYNTHETIC else results.dataset


def _million(row: str) -> str:
    return f"{reported.load('table3').loc[row, 'Params (M)']} M"
