"""Figures drawn from results alone: 1 a, 2, the ablation, gradients, validation curves, IoU per class."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from topokd.paper import reported
from topokd.paper.findings import least_sd
from topokd.paper.results import Results, class_names
from topokd.paper.segmentation_tables import compared_with
from topokd.paper.statistics import MARGIN
from topokd.project import TEACHER
from topokd.training.gradients import STRONG, WEAK, gradient_share
from topokd.viz import framework, training
from topokd.viz import results as view
from topokd.viz.rows import signs
from topokd.viz.style import ACCENT, GREEN, MUTED, OCHRE, PURPLE, STUDENT
from topokd.viz.style import TEACHER as TEACHER_COLOR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GLANCE_CELLS = {  # name -> cells of nuScenes, SemanticKITTI, Waymo (mIoU), FPS, parameters
    "Student (paper)": (
        "table1|Student with KD|mIoU", "table2|Student with KD|mIoU", "table4|Ours (Student w/ KD)|mIoU test",
        "table3|Our Student|FPS", "table3|Our Student|Params (M)",
    ),
    "Teacher (paper)": (
        "", "", "table4|Ours (Teacher)|mIoU test", "table3|PTv3 (Teacher)|FPS", "table3|PTv3 (Teacher)|Params (M)",
    ),
    "U2MKD": (
        "table1|U2MKD (LC)|mIoU", "table2|U2MKD (LC)|mIoU", "", "table3|U2MKD|FPS", "table3|U2MKD|Params (M)",
    ),
    "TPV-IGKD": (
        "table1|TPV-IGKD (LC)|mIoU", "table2|TPV-IGKD|mIoU", "", "table3|TPV-IGKD|FPS", "table3|TPV-IGKD|Params (M)",
    ),
    "MV3Dseg": (
        "table1|MV3Dseg|mIoU", "table2|MV3Dseg|mIoU", "", "table3|MV3DSeg|FPS", "table3|MV3DSeg|Params (M)",
    ),
    "KT-Weakly": (
        "table1|KT-Weakly (LC)|mIoU", "table2|KT-Weakly (LC)|mIoU", "", "table3|KT-weakly|FPS", "",
    ),
}  # fmt: skip
GLANCE_COLORS = dict(zip(GLANCE_CELLS, (STUDENT, TEACHER_COLOR, MUTED, ACCENT, GREEN, PURPLE, OCHRE), strict=False))
GLANCE_PANELS = (
    "nuScenes mIoU (%)", "SemanticKITTI mIoU (%)", "Waymo mIoU (%)", "frames per second", "parameters (M)",
)  # fmt: skip
FROM_ZERO = ("frames per second", "parameters (M)")


def reported_glance() -> view.Dots:
    """Figure 1 a from the paper's own tables: the published figure prints no numbers."""
    panels = {
        label: {name: reported.value(cells[k]) if cells[k] else None for name, cells in GLANCE_CELLS.items()}
        for k, label in enumerate(GLANCE_PANELS)
    }
    return view.Dots(panels, GLANCE_COLORS, ("Student (paper)",), FROM_ZERO)


def measured_glance(results: Results) -> view.Dots | None:
    """Figure 1 a for this profile, without timings, which vary; None before there are a teacher and a student."""
    shown = results.headline
    if TEACHER not in shown or len(shown) < 2:
        return None
    scores = {
        head: {results.labels[v]: results.score(v, metric) for v in shown}
        for head, metric in (("mIoU (%)", results.metric), ("accuracy (%)", "accuracy"))
    }
    panels = {head: {label: score.mean for label, score in by_label.items()} for head, by_label in scores.items()}
    widths = {head: {label: score.half_width for label, score in by_label.items()} for head, by_label in scores.items()}
    sizes = {results.labels[v]: next(iter(results.runs[v].values()))["parameters"] / 1e6 for v in shown}
    colors = {results.labels[v]: results.looks[v].color for v in shown}
    bold = [results.labels[v] for v in shown if v != TEACHER]
    markers = {results.labels[v]: sign["marker"] for v, sign in signs(results.looks).items()}
    return view.Dots({**panels, "parameters (M)": sizes}, colors, bold, FROM_ZERO, widths, "#.3g", markers)


def glance_figure(results: Results) -> Figure:
    """Figure 1 a, reported and measured."""
    scans = next((f", {run['evaluation']['scans']} validation scans" for run in results.all_runs()), "")
    return view.dots_figure(reported_glance(), measured_glance(results), f"Measured: {results.dataset}{scans}")


def framework_figure(_: Results) -> Figure:
    """Figure 2 with the sizes and depths of the paper's networks."""
    networks = {"Teacher": "PTv3 (Teacher)", "Student": "Our Student"}
    sizes = {role: reported.load("table3").loc[name, "Params (M)"] for role, name in networks.items()}
    depths = {role: _numbers(reported.load("table5").loc["Encoder Depths", role]) for role in ("Teacher", "Student")}
    teacher, student = ((f"{sizes[role]} M", depths[role]) for role in ("Teacher", "Student"))
    return framework.figure2(teacher, student)


def ablation_figure(results: Results) -> Figure | None:
    """Scores and gains of the rows of the paper's Table 7 (and the rows that these compare with)."""
    rows = paper_rows(results)
    return _gains_figure(results, [TEACHER, *rows], rows)


def beyond_figure(results: Results) -> Figure | None:
    """The same for the rows that the paper does not have; None where the profile has none."""
    rows = beyond_rows(results)
    return _gains_figure(results, [*_bases(results, rows), *rows], rows) if rows else None


def paper_rows(results: Results) -> list[str]:
    """Rows of the profile that are in the paper's tables."""
    known = {*reported.rows("table7"), *reported.rows("table2")}
    return [row for row in results.rows if row in known]


def beyond_rows(results: Results) -> list[str]:
    """Rows of the profile that are not in the paper."""
    known = paper_rows(results)
    return [row for row in results.rows if row not in known]


def _bases(results: Results, rows: list[str]) -> list[str]:
    """Rows outside ``rows`` that these are compared with."""
    wanted = {over for row in rows for over in results.rows[row].compare}
    return [row for row in results.rows if row in wanted and row not in rows]


def _gains_figure(results: Results, names: list[str], rows: list[str]) -> Figure | None:
    """Scores of the networks ``names``, and gains of those also in ``rows``; None for fewer than two networks."""
    order = [network for network in names if results.runs.get(network)]
    if len(order) < 2:
        return None
    scores = {name: view.Seeds(results.scores(name), results.score(name)) for name in order}
    over = _common_base(results, [row for row in order if row in rows])
    gains, printed, sd = {}, {}, least_sd(results)
    for row in order:
        if row not in rows or over not in results.rows[row].compare or not results.gain(row, over).n:
            continue
        base, values = results.scores(over), results.scores(row)
        by_seed = {seed: value - base[seed] for seed, value in values.items() if seed in base}
        gains[row] = view.Seeds(by_seed, results.gain(row, over).with_sd(sd))
        printed[row] = reported.gains(("table7",), row, over)
    against = results.rows[over].label if over else ""
    metric = f"mIoU (%), {results.dataset}"
    return view.ablation_figure(scores, gains, printed, results.looks, metric, against, MARGIN)


def _common_base(results: Results, among: list[str]) -> str:
    """The row that most rows are compared with, among those with the most terms; empty if nothing is compared."""
    nearest = [compared[0] for row in results.rows if row in among and (compared := compared_with(results, row))]
    return max(nearest, key=nearest.count, default="")


class Validation(NamedTuple):
    """Validations during training.

    Args:
        curves: by network with at least two validations, the steps (s,) and the mIoU in percent (seeds, s).
        gains: by row, the same for its difference from the row ``base``, in points and paired by seed.
        base: the first row that has a curve; empty without one.
        single: networks with one validation.
        scans: how many scans the mIoU is of.
        every: how many scans the validation split has.
    """

    curves: view.Curves
    gains: view.Curves
    base: str
    single: tuple[str, ...]
    scans: int
    every: int


def validations(results: Results) -> Validation | None:
    """Of all networks; None if none has two, as a single one does not show whether training still climbs."""
    curves: dict[str, tuple[list[int], np.ndarray]] = {}
    single = []
    for network, runs in results.runs.items():
        histories = [run["history"] for run in runs.values()]
        steps = histories[0]["val_step"]
        if not steps or any(history["val_step"] != steps for history in histories):
            continue
        if len(steps) < 2:
            single.append(network)
            continue
        values = np.array([h["val_miou"] for h in histories], dtype=float)  # null (nothing counted) becomes NaN
        curves[network] = (steps, 100 * values)
    if not curves:
        return None
    base = next((row for row in results.rows if row in curves), "")
    gains = {
        row: (steps, values - curves[base][1])
        for row, (steps, values) in curves.items()
        if base and row not in (TEACHER, base) and steps == curves[base][0] and values.shape == curves[base][1].shape
    }
    every = next(run["evaluation"]["scans"] for run in results.all_runs())
    return Validation(curves, gains, base, tuple(single), min(results.params.train.validate_scans, every), every)


def validation_figure(results: Results) -> Figure | None:
    """mIoU during training of all networks with at least two validations; None without such a network."""
    found = validations(results)
    if found is None:
        return None
    base = results.labels[found.base] if found.base else ""
    scans = "all" if found.scans == found.every else f"{found.scans}"
    plural = "s" if found.scans != 1 else ""
    return view.validation_figure(found.curves, found.gains, results.looks, base, f"{scans} validation scan{plural}")


def gradient_shares(results: Results) -> dict[str, dict[str, tuple[list[int], np.ndarray]]]:
    """By row and term: the steps (s,), and lambda_k |g_k| / |g_seg| in percent (seeds, s)."""
    shares: dict[str, dict[str, tuple[list[int], np.ndarray]]] = {}
    for row in results.rows:
        histories = [run["history"].get("gradients") or {} for run in results.runs.get(row, {}).values()]
        if not histories or any(g.get("step") != histories[0].get("step") or not g.get("step") for g in histories):
            continue
        terms = {
            name: (histories[0]["step"], 100 * np.array([gradient_share(g["terms"], name) for g in histories]))
            for name in histories[0]["terms"]
            if name != "seg"
        }
        if terms:
            shares[row] = terms
    return shares


def share_figure(results: Results) -> Figure | None:
    """The gradients of all rows; None where no run measured them."""
    shares = gradient_shares(results)
    titles = {row: results.rows[row].short for row in shares}
    if not shares:
        return None
    return training.share_figure(shares, titles, (100 * WEAK, 100 * STRONG))


def class_figure(results: Results) -> Figure | None:
    """IoU per class of the headline networks; None before one of them exists."""
    shown = results.headline
    if not shown:
        return None
    names = class_names(results)
    scores = {v: [float(np.mean([*results.class_scores(v, n).values()] or [np.nan])) for n in names] for v in shown}
    evaluation = next(iter(results.runs[shown[0]].values()))["evaluation"]
    counts = np.array(evaluation["confusion"]).sum(0) + np.array(evaluation.get("missed", 0))
    return view.class_figure(names, scores, (counts / counts.sum()).tolist(), results.looks)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.strip("()").split(","))
