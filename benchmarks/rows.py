"""Cost of a training step of each row, and gradient norms of its terms: `python benchmarks/rows.py [--profile NAME]`.

All rows of the profile take turns on the same batches, with one teacher and one student. A step is the student's
forward pass, the loss and the backward pass; what a term needs of the teacher is timed apart, since training computes
it once for all rows. Watching is what the norms of the terms' gradients add to a run, measured every
`train.gradients_every` steps. The force of a term is |g_k| / |g_seg| at weight 1, the norms of the gradients in the
student's parameters; its inverse is the weight of equal gradient. Needs data and teacher (`topokd repro`).
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch
from report import Rows, keep
from timing import cpu_seconds

from topokd.data import training_batch
from topokd.distillation import NetworkOutput, build_objective, freeze, run_teacher
from topokd.models import build_model, load_checkpoint
from topokd.params import load_profile
from topokd.scans import open_dataset
from topokd.training import load_teacher
from topokd.training.gradients import gradient_norms
from topokd.training.run import Run


def measure(profile: str, world: str, steps: int) -> Rows:
    """One entry per row of ``profile``, on the scans and networks of the profile ``world``."""
    params, source = load_profile(profile), load_profile(world)
    scans = open_dataset(source.data, source.data_root, "train")
    val = open_dataset(source.data, source.data_root, "val")
    teacher = freeze(load_teacher(source, source.teacher_seeds[0], val.class_names))
    trained = Run("plain", source.seeds[0], source).checkpoint
    rows = {name: build_objective(params, name) for name in params.train_rows}
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    teaching: dict[str, list[float]] = {name: [] for name in rows}
    watching: dict[str, list[float]] = {name: [] for name in rows}
    forces: dict[str, dict[str, list[float]]] = {name: {} for name in rows}
    for step in range(steps + 1):  # the first warms up
        batch = training_batch(scans, source.data, source.seeds[0], step, source.train.batch_size)
        for name, objective in list(rows.items())[:: 1 if step % 2 else -1]:  # each other round backwards
            preset = Run(name, 0, params).preset
            torch.manual_seed(step)
            student = build_model(preset, num_classes=val.num_classes).train()
            if preset == source.model.student and trained.is_file():
                load_checkpoint(trained, student).train()
            state: dict[str, Any] = {"digests": {}}

            def teach(objective: Any = objective, batch: Any = batch, state: dict[str, Any] = state) -> None:
                if objective.needs_teacher:
                    output = run_teacher(teacher, batch, gradients=objective.needs_teacher_gradients)
                    state["digests"] = objective.digests(output, batch.label)

            def learn(
                objective: Any = objective, batch: Any = batch, state: dict[str, Any] = state, student: Any = student
            ) -> None:
                state["output"] = NetworkOutput(*student(batch, taps=True))
                state["losses"] = objective(state["output"], batch.label, digests=state["digests"])
                state["losses"].total.backward(retain_graph=True)

            taught, learned = cpu_seconds(teach), cpu_seconds(learn)
            parameters = [p for p in student.parameters() if p.requires_grad]

            def watch(state: dict[str, Any] = state, parameters: Any = parameters) -> None:
                state["norms"] = gradient_norms(state["losses"].terms, parameters, state["output"])

            watched = cpu_seconds(watch)
            norms = state["norms"]
            if step:
                teaching[name].append(taught)
                seconds[name].append(learned)
                watching[name].append(watched / (learned * source.train.gradients_every))
                for term in norms.keys() - {"seg"}:
                    force = norms[term]["parameters"] / norms["seg"]["parameters"]
                    forces[name].setdefault(term, []).append(force)
    ratios = {name: [a / b for a, b in zip(seconds[name], seconds["plain"], strict=True)] for name in rows}
    return [
        {
            "row": name,
            "label": params.rows[name].label,
            "step": statistics.median(seconds[name]),
            "ratio": statistics.median(ratios[name]),
            "ratios": [min(ratios[name]), max(ratios[name])],
            "teacher": statistics.median(teaching[name]),
            "watching": statistics.median(watching[name]),
            "force": {term: statistics.median(values) for term, values in forces[name].items()},
        }
        for name in rows
    ]


def section(rows: Rows) -> list[str]:
    """The table."""
    lines = [
        "| row | step (s) | × plain, median (smallest to largest) | teacher's part, once for all rows (s) "
        "| watching, share of a run | gradient at weight 1, × segmentation's | weight of equal gradient |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["ratios"]
        force = "; ".join(f"{term} {value:.3g}" for term, value in row["force"].items())
        equal = "; ".join(f"{term} {1 / value:.3g}" for term, value in row["force"].items() if value > 0)
        cost = f"{row['step']:.3f} | {row['ratio']:.2f} ({low:.2f} to {high:.2f}) | {row['teacher']:.3f} "
        cost += f"| {row['watching']:.1%}"
        lines.append(f"| {row['label']} | {cost} | {force} | {equal} |")
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="comparison", help="whose rows are measured")
    parser.add_argument("--world", default="default", help="whose scans, teacher and student are used")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="print only")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep(
        script=str(Path(__file__)),
        title="Cost and force of the rows",
        parts={"rows": measure(given.profile, given.world, given.steps)},
        pages={"rows": section},
        packages=["torch", "numpy", "numba"],
        dry=given.dry,
        note=f"one thread, CPU time, medians of {given.steps} steps, rows interleaved",
    )
