"""The page of benchmarks/topology.py, from its record."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
from engines import AUTOGRAD, OURS, PROGRAMS
from report import Rows, table


def _total(row: dict[str, Any]) -> float:
    return row["forward_s"] + row["backward_s"]


def layer_page(rows: Rows) -> list[str]:
    lines = [
        "## Features to diagrams to loss to gradients",
        "",
        "Degrees 0 and 1, one thread. Ours in ms of CPU time (median), the others as multiples of it. "
        "gudhi, ripser.py and holos-tda: diagrams alone, without gradients. Autograd alone: a function that computes "
        "nothing, forward and backward.",
    ]
    for n in sorted({row["points"] for row in rows}):
        here = {(row["family"], row["engine"]): row for row in rows if row["points"] == n}
        families = list(dict.fromkeys(family for family, _ in here))
        others = [name for name in PROGRAMS if name != OURS and any(engine == name for _, engine in here)]
        shown = [*others, AUTOGRAD] if any(engine == AUTOGRAD for _, engine in here) else others
        ratios: dict[str, list[float]] = {name: [] for name in [*shown, "fastest"]}
        body = []
        for family in families:
            own = here[family, OURS]
            digits = 1 if n >= 512 else 2
            cells = [family, f"{1e3 * own['forward_s']:.{digits}f} + {1e3 * own['backward_s']:.{digits}f}"]
            cells.append(f"{own['peak_bytes'] / 1e6:.0f}")
            for name in shown:
                ratio = _total(here[family, name]) / _total(own) if (family, name) in here else None
                cells.append("" if ratio is None else f"{ratio:.1f}")
                if ratio is not None:
                    ratios[name].append(ratio)
            fastest = min(
                (_total(here[family, name]) / _total(own) for name in others if (family, name) in here), default=None
            )
            cells.append("" if fastest is None else f"{fastest:.1f}")
            if fastest is not None:
                ratios["fastest"].append(fastest)
            body.append(cells)
        mean = ["geometric mean", "", ""]
        mean += [f"{statistics.geometric_mean(ratios[k]):.1f}" if ratios[k] else "" for k in ratios]
        lines += ["", f"### M = {n}", ""]
        lines += table(["family", "ours, forward + backward (ms)", "peak (MB)", *shown, "fastest other"], [*body, mean])
    return [*lines, "", *_growth(rows)]


def _growth(rows: Rows) -> list[str]:
    """Exponents of M."""
    names = [name for name in PROGRAMS if name not in ("naive", "oineus")]
    largest = sorted({row["points"] for row in rows})[-2:]
    body = []
    for family in dict.fromkeys(row["family"] for row in rows):
        lines = [
            [(r["points"], _total(r)) for r in rows if (r["family"], r["engine"]) == (family, name)] for name in names
        ]
        fits = [_exponent([(n, t) for n, t in line if n >= 128]) for line in lines]
        body.append([family, *fits, _exponent([(n, t) for n, t in lines[names.index(OURS)] if n in largest])])
    return [
        "### How time grows",
        "",
        "Exponent of M in a least-squares fit of log time, from M = 128 on; the last column is ours from "
        f"{largest[0]:,} to {largest[-1]:,} points alone. In the number of edges, M (M - 1) / 2, exponents are half as "
        "large. A method that reads every edge has an exponent of 2 at least once M is large; below 2 in the fit, "
        "small clouds cost more than their edges.",
        "",
        *table(["family", *names, f"{OURS}, last two sizes"], body),
    ]


def _exponent(line: list[tuple[int, float]]) -> str:
    return f"{np.polyfit(*np.log(np.array(line).T), 1)[0]:.2f}" if len(line) > 1 else ""


def small_page(rows: Rows) -> list[str]:
    lines = [
        "## Small clouds, warm caches",
        "",
        "The same layer, called many times in a row, so that instructions and data are in the processor's caches. In "
        "the tables above, after a garbage collection before each run, they are not. Ours in ms, the others as "
        "multiples of it.",
    ]
    for n, clouds in ((30, 1), (128, 1), (30, 256)):
        here = [r for r in rows if (r["points"], r["clouds"]) == (n, clouds)]
        if not here:
            continue
        names = [name for name in here[0] if name not in ("family", "points", "clouds", OURS)]
        body = []
        for r in here:
            fastest = min(r[name] for name in names if name != AUTOGRAD) / r[OURS]
            cells = [f"{r[name] / r[OURS]:.2f}" for name in names]
            body.append([r["family"], f"{1e3 * r[OURS]:.2f}", *cells, f"{fastest:.2f}"])
        what = "one thread, CPU time" if clouds == 1 else f"{clouds} clouds on two cores, wall time"
        lines += ["", f"### M = {n}, {what}", ""]
        lines += table(["family", "ours, forward + backward (ms)", *names, "fastest other"], body)
    return lines


def batch_page(rows: Rows) -> list[str]:
    body = [[r["family"], f"{r[OURS]:.2f}", f"{r['giotto-ph']:.2f}", f"{r['giotto-ph'] / r[OURS]:.1f}"] for r in rows]
    return [
        "## A batch of 12 clouds on two cores",
        "",
        "M = 1024; seconds of wall time: ours on two threads of one process, giotto-ph in two processes.",
        "",
        *table(["family", "ours (s)", "giotto-ph (s)", "ratio"], body),
    ]


def first_page(rows: Rows) -> list[str]:
    body = [[r["process"], f"{r['cpu_s']:.1f}", f"{r['wall_s']:.1f}", str(r["runs"]), str(r["files"])] for r in rows]
    return [
        "## First call of a process",
        "",
        "`vietoris_rips`, from the start of Python to its result; seconds, medians.",
        "",
        *table(["process", "CPU (s)", "wall (s)", "runs", "kernels in the cache"], body),
    ]


def sampling_page(rows: Rows) -> list[str]:
    others = [name for name in rows[0] if name not in ("points", "channels", "cloud", OURS)]
    body = [
        [f"{r['points']:,}", str(r["channels"]), r["cloud"], f"{1e3 * r[OURS]:.0f}"]
        + [f"{r[name] / r[OURS]:.1f}" for name in others]
        for r in rows
    ]
    return [
        "## 64 farthest points",
        "",
        "One thread; ours in ms of CPU time, the others as multiples of it.",
        "",
        *table(["points", "C", "cloud", "ours (ms)", *others], body),
    ]


def where_page(rows: Rows) -> list[str]:
    times = ["read once", "distances", "edges in order", "lunes and relations"]
    counts = ["edges", "relations", "annotations"]
    body = [[r["family"], *(f"{1e3 * r[k]:.1f}" for k in times), *(f"{r[k]:,}" for k in counts)] for r in rows]
    return [
        "## Where our time goes",
        "",
        "One diagram at M = 1024, ms of CPU time: reading the matrix of distances once (the floor), computing it, "
        "putting the edges in order, and the sweep over them; and counts of the sweep.",
        "",
        *table(["family", *times, "edges let in", "relations", "annotations made"], body),
    ]


def agreement_page(rows: Rows) -> list[str]:
    body = [[r["family"], str(r["clouds"]), f"{r['pairs']:,}", str(r["different"])] for r in rows]
    total = ["all", *(f"{sum(r[k] for r in rows):,}" for k in ("clouds", "pairs", "different"))]
    return [
        "## Agreement with giotto-ph",
        "",
        "Sorted float32 diagrams of degrees 0 and 1 of clouds of 10 to 160 points, compared bit by bit.",
        "",
        *table(["family", "clouds", "pairs", "clouds that differ"], [*body, total]),
    ]


def large_page(rows: Rows) -> list[str]:
    body = [
        [r["family"], f"{r['points']:,}", f"{r['pairs']:,}", f"{r['cpu_s']:.1f}", f"{r['peak_kb'] / 1024:.0f}"]
        for r in rows
    ]
    return [
        "## Large clouds",
        "",
        "Our diagrams of degrees 0 and 1, one thread, one run each; peak of memory above that of a small cloud.",
        "",
        *table(["family", "points", "pairs of degree 1", "CPU (s)", "peak (MB)"], body),
    ]


def step_page(rows: Rows) -> list[str]:
    times = ["teacher_s", "student_forward_s", "topological_s", "backward_s"]
    body = [
        [f"{r['clouds']} x {r['voxels']:,}", *(f"{r[k]:.1f}" for k in times), f"{100 * r['share']:.0f} %"] for r in rows
    ]
    return [
        "## Share of a training step",
        "",
        "The paper's networks (46.16 M and 2.78 M parameters) on 12 clouds, M = 1024, one CPU thread, seconds. Larger "
        "clouds cost the networks more and the term nothing.",
        "",
        *table(["clouds x voxels", "teacher", "student forward", "L_topo", "backward", "share of L_topo"], body),
    ]


PAGES = {
    "layer": layer_page,
    "small": small_page,
    "batch": batch_page,
    "first": first_page,
    "sampling": sampling_page,
    "where": where_page,
    "agreement": agreement_page,
    "large": large_page,
    "step": step_page,
}
"""What writes the section of each part, in the order of the page."""
