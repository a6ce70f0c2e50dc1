"""What the measurements say, in sentences computed from the numbers, and what may be compared with the paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from topokd.paper import reported
from topokd.paper.results import NAMES, TEACHER, Results
from topokd.paper.segmentation_tables import TABLE7_COLUMNS, measured_on
from topokd.paper.statistics import Interval

KD_CELLS = (  # dataset, the distilled student's cell, the plain student's
    ("SemanticKITTI", "table2|Student with KD|mIoU", "table2|Student w.o KD|mIoU"),
    ("Waymo", "table4|Ours (Student w/ KD)|mIoU test", "table4|Ours (Student w/o KD)|mIoU test"),
    ("nuScenes", "table1|Student with KD|mIoU", "table1|Student w.o KD|mIoU"),
)
TABLES_OF = (  # exhibit, the layout that it is measured in, its data set, what the paper reports
    ("Table 1", "nuscenes", "nuScenes", "the nuScenes test server"),
    ("Table 2", "semantickitti", "SemanticKITTI", "the SemanticKITTI test server"),
    ("Table 4", "waymo", "Waymo", "Waymo's validation and test splits"),
)


@dataclass(frozen=True)
class Finding:
    """A question, its answer (``yes``, ``no``, ``open`` or ``missing``), and the sentence with the numbers."""

    question: str
    answer: str
    sentence: str


def verdict(gain: Interval) -> str:
    """``yes`` / ``no``: the interval lies above / below 0; ``open``: it holds 0 or there is only one seed.

    >>> verdict(Interval(2.0, 1.0, 3)), verdict(Interval(-2.0, 1.0, 3)), verdict(Interval(0.5, 1.0, 3))
    ('yes', 'no', 'open')
    """
    if not gain.n:
        return "missing"
    if not gain.excludes(0.0):
        return "open"
    return "yes" if gain.mean > 0 else "no"


def findings(results: Results) -> list[Finding]:
    """The questions of the paper's Sec. 4, answered from this profile's runs."""
    return [
        _teacher(results),
        _compare(results, "Does distillation help the student?", "full", "plain", "all distillation terms"),
        _compare(results, "Does the class distribution (KD) alone help?", "kd", "plain", "KD alone", "kd"),
        _compare(results, "Does the topological term help?", "kd_topo", "kd", "the topological term", "kd_topo"),
        _compare(results, "Does the saliency term help?", "kd_grad", "kd", "the saliency term", "kd_grad"),
        _compare(results, "Do both terms together help beyond KD?", "full", "kd", "both terms together", "full"),
    ]


def _teacher(results: Results) -> Finding:
    question = "Is the teacher better than the student trained alone?"
    gain = results.gain(TEACHER, "plain")
    if not gain.n:
        return Finding(question, "missing", "Not measured yet: run the stages `teacher` and `student`.")
    answer = verdict(gain)
    ends = {
        "yes": "so there is something to distil.",
        "no": "so there is nothing to distil: the teacher is too small or was trained too briefly.",
        "open": "which these seeds cannot tell from chance.",
    }
    sentence = (
        f"The teacher reaches {results.score(TEACHER).text()} mIoU, the student trained alone "
        f"{results.score('plain').text()}: a difference of {gain.text(sign=True)} points (paired over {gain.n} "
        f"{'seeds' if gain.n > 1 else 'seed'}), {ends[answer]}"
    )
    return Finding(question, answer, sentence)


def _compare(results: Results, question: str, variant: str, over: str, what: str, row: str = "") -> Finding:
    gain = results.gain(variant, over)
    if not gain.n:
        return Finding(question, "missing", f"Not measured yet: run the stage `student` for {variant} and {over}.")
    answer = verdict(gain)
    seeds = f"{gain.n} seeds" if gain.n > 1 else "1 seed"
    sentence = (
        f"With {what} the student changes by {gain.text(sign=True)} points of mIoU against “{NAMES[over]}” "
        f"({results.score(over).text()} → {results.score(variant).text()}, {seeds}, paired)"
    )
    sentence += {
        "yes": "; the 95 % interval lies above zero.",
        "no": "; the 95 % interval lies below zero: here it does harm.",
        "open": "; the 95 % interval holds zero: these seeds cannot tell it from chance."
        if gain.n > 1
        else "; one seed gives no interval.",
    }[answer]
    if variant == "full" and over == "plain":
        if answer == "yes" and not math.isnan(gap_closed(results)):
            sentence += f" That is {100 * gap_closed(results):.0f} % of the way from the plain student to the teacher."
        sentence += f" The paper reports {_gains(KD_CELLS)} (test)."
    elif row not in ("", "kd"):
        cells = [(name, f"table7|{row}|{column}", f"table7|kd|{column}") for name, column in TABLE7_COLUMNS]
        sentence += f" The paper's Table 7 reports {_gains(cells)}."
    return Finding(question, answer, sentence)


def _gains(cells: Sequence[tuple[str, str, str]]) -> str:
    return ", ".join(f"{reported.value(a) - reported.value(b):+.1f} on {name}" for name, a, b in cells)


def comparability(results: Results) -> list[tuple[str, str]]:
    """(exhibit, what of it may be compared with the paper and what may not) for this profile."""
    params = results.params
    data, train = params.data, params.train
    networks = (
        "the paper's networks"
        if (params.model.teacher, params.model.student) == ("ptv3-teacher", "ptv3-student")
        else f"smaller networks ({params.model.teacher}, {params.model.student}) than the paper's"
    )
    length = (
        f"{train.teacher_steps} and {train.student_steps} steps" if train.teacher_steps else f"{train.epochs} epochs"
    )
    scans = next((run["evaluation"]["scans"] for run in results.all_runs()), None)
    where = f"{results.dataset}, validation split" + (f" ({scans} scans)" if scans else "")
    setting = (
        f"Measured on {where} with {networks}, voxels of {data.voxel_size:g} m, {length} of batch {train.batch_size}; "
        f"the paper trains {_million('PTv3 (Teacher)')} and {_million('Our Student')} parameters for 50 epochs of "
        "batch 12 on voxels of 0.05 m"
    )
    absent = {"skip": "are left out of the mean", "zero": "count as 0", "one": "count as 1"}[params.evaluation.absent]
    tta = (
        "No test-time augmentation."
        if params.evaluation.tta == 1
        else f"Test-time augmentation over {params.evaluation.tta} rotations."
    )
    return [
        *(_table_of(results, setting, *about) for about in TABLES_OF),
        (
            "Table 7",
            "Levels are not comparable, for the same reasons. What can be set side by side is the sign and the size of "
            "each term's gain over KD alone, each on its own data and networks. The paper gives no intervals.",
        ),
        (
            "Tables 3, 5, 6",
            "Parameters, depths, channels, heads and ratios of FLOPs are properties of the networks and comparable. "
            "Times, frames per second and memory depend on the device: set ratios of teacher to student side by side.",
        ),
        (
            "Table 8",
            "Baseline and machine differ. Comparable are the growth with N, and the ratio of baseline to ours on one "
            "machine. The paper's first forward pass (N = 30) contains a warm-up.",
        ),
        (
            "mIoU",
            f"Classes that neither truth nor prediction holds {absent} here (`evaluation.absent: "
            f"{params.evaluation.absent}`); SemanticKITTI's server counts them as 0, nuScenes' leaves them out, "
            f"Waymo's counts them as 1. {tta}",
        ),
    ]


def _table_of(results: Results, setting: str, table: str, layout: str, name: str, there: str) -> tuple[str, str]:
    """What of a table of segmentation results may be compared."""
    panel = measured_on(results, layout)
    if not panel.runs:
        return table, f"Not measured: this profile runs on {results.dataset} scans, not on {name}."
    if panel is not results:
        scans = next(run["evaluation"]["scans"] for run in panel.all_runs())
        params = panel.params
        setting = (
            f"Measured on {panel.dataset} ({scans} scans), seed {', '.join(map(str, params.seeds))}, "
            f"{params.train.teacher_steps} and {params.train.student_steps} steps: it shows that the way from {name}'s "
            "files to the table runs. The paper trains on the real scans"
        )
    scenes = (
        "Classes and kind of scans are the same, split and training are not: "
        if panel.params.data.dataset == layout
        else "The classes have the same names, the scenes are synthetic: "
    )
    return (
        table,
        f"{setting} and reports {there}. {scenes}the measured numbers are not comparable with the reported ones.",
    )


def figure_facts(results: Results) -> dict[str, str]:
    """For each figure a sentence from this profile's numbers, where they are there."""
    facts: dict[str, str] = {}
    topology, cost = results.records.get("topology"), results.records.get("timings/topology_cost")
    if topology:
        rows, bounds = topology["figure8"]["rows"], topology["proposition1"]
        facts["figure7"] = (
            f"In this experiment the loop's gradient is {topology['figure7']['loop_to_noise']:.3g} times the noise's."
        )
        facts["figure8"] = f"Largest bottleneck distance over {len(rows)} diagrams: {topology['figure8']['worst']:.1e}."
        facts["proposition1"] = (
            f"Over {len(bounds['rows'])} samples the distance is at most {bounds['worst_share_of_bound']:.2f} of "
            "the bound."
        )
    if cost:
        first, last = cost["sampling"][0], cost["sampling"][-1]
        facts["figure5"] = (
            f"From N = {first['points']:,} to {last['points']:,} farthest point sampling takes "
            f"{_times(last['farthest_s'] / first['farthest_s'])} times as long, random sampling "
            f"{_times(last['random_s'] / first['random_s'])} times."
        )
        top = cost["homology"][-1]
        facts["figure6"] = (
            f"At N = {top['points']} dimension 2 takes {_times(top['h2_s'] / top['h1_s'])} times as long."
        )
    return facts


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}"


def _million(row: str) -> str:
    return f"{reported.load('table3').loc[row, 'Params (M)']} M"


def gap_closed(results: Results) -> float:
    """(full - plain) / (teacher - plain) of the means; NaN unless the teacher is better beyond chance."""
    gap = results.gain(TEACHER, "plain")
    return results.gain("full", "plain").mean / gap.mean if verdict(gap) == "yes" else math.nan
