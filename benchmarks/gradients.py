"""Steps and seconds until a target diagram is reached, for each kind of gradient; writes benchmarks/gradients.md.

    python benchmarks/gradients.py
    python benchmarks/gradients.py --seeds 3 --steps 50 --dry

The loss is half the squared distance to a target diagram. Each kind of gradient descends with the learning rate, of
those in `RATES`, that reaches its target in most runs, and then in the fewest steps, over all seeds. A run ends when
the loss has fallen to `--share` of its start, or after `--steps`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from report import Rows, keep, table
from torch import Tensor

from topokd.topology import GRADIENTS, Persistence, vietoris_rips, wasserstein_distance

TITLE = "Gradients that move the cloud"
RATES = (0.1, 0.25, 0.5)
Task = Callable[[torch.Generator], tuple[Tensor, Callable[[Persistence], Tensor]]]


def _circle(generator: torch.Generator) -> tuple[Tensor, Callable[[Persistence], Tensor]]:
    """A noisy circle to the diagram of a clean one: one long bar, all others to the diagonal."""
    angle = 2 * torch.pi * torch.rand(40, generator=generator)
    x = torch.stack([angle.cos(), angle.sin()], dim=1) + 0.2 * torch.randn(40, 2, generator=generator)
    even = 2 * torch.pi * torch.arange(40) / 40
    target = vietoris_rips(torch.stack([even.cos(), even.sin()], dim=1)).diagrams[1]
    return x, lambda persistence: _squared(persistence.diagrams[1], target)


def _two_clusters(generator: torch.Generator) -> tuple[Tensor, Callable[[Persistence], Tensor]]:
    """Two clusters to one: the last merge as early as the one before it."""
    x = 0.3 * torch.randn(40, 2, generator=generator) + torch.tensor([3.0, 0.0]) * (torch.arange(40) % 2)[:, None]
    target = float(vietoris_rips(x).diagrams[0][-2, 1])
    return x, lambda persistence: (persistence.diagrams[0][:, 1].clamp_min(target) - target).square().sum() / 2


def _student(generator: torch.Generator) -> tuple[Tensor, Callable[[Persistence], Tensor]]:
    """A student's features, without clusters, to the diagrams of its teacher's, with three, in twice the channels."""
    student = 0.5 * torch.randn(40, 8, generator=generator)
    centers = 2 * torch.randn(3, 16, generator=generator)
    teacher = centers[torch.arange(40) % 3] + 0.3 * torch.randn(40, 16, generator=generator)
    targets = vietoris_rips(teacher).diagrams

    def loss(persistence: Persistence) -> Tensor:
        # There are as many merges as in the target; both lists are sorted by death, so they match in order.
        merges = (persistence.diagrams[0][:, 1] - targets[0][:, 1]).square().sum() / 2
        return merges + _squared(persistence.diagrams[1], targets[1])

    return student, loss


def _disk(generator: torch.Generator) -> tuple[Tensor, Callable[[Persistence], Tensor]]:
    """A disk to a disk with a hole: the longest loop shall live to the length 1."""
    radius, angle = torch.rand(80, generator=generator).sqrt(), 2 * torch.pi * torch.rand(80, generator=generator)
    x = radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)

    def loss(persistence: Persistence) -> Tensor:
        loops = persistence.diagrams[1]
        return (loops[(loops[:, 1] - loops[:, 0]).argmax(), 1] - 1.0).square() / 2

    return x, loss


def _squared(diagram: Tensor, target: Tensor) -> Tensor:
    return wasserstein_distance(diagram, target, order=2.0, internal_p=2.0).square() / 2


TASKS: dict[str, Task] = {
    "noisy circle to circle": _circle,
    "two clusters to one": _two_clusters,
    "student's features to the teacher's": _student,
    "disk to a disk with a hole": _disk,
}


def descents(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every kind of gradient on every task, over the seeds."""
    for task, start in TASKS.items():
        for gradient in GRADIENTS:
            best: list[dict[str, float]] = []
            chosen = 0.0
            for rate in RATES:
                runs = [_descend(start, gradient, rate, seed, options) for seed in range(options.seeds)]
                if not best or _rank(runs) < _rank(best):
                    best, chosen = runs, rate
            yield {"task": task, "gradient": gradient, "rate": chosen, "limit": options.steps, "runs": {"all": best}}


def _rank(runs: list[dict[str, float]]) -> tuple[float, float]:
    return -sum(run["reached"] for run in runs), statistics.median(run["steps"] for run in runs)


def _descend(start: Task, gradient: str, rate: float, seed: int, options: argparse.Namespace) -> dict[str, float]:
    x, loss_of = start(torch.Generator().manual_seed(seed))
    x.requires_grad_(True)
    first, seconds, steps, share = None, 0.0, 0, 1.0
    while True:
        begin = time.process_time()
        loss = loss_of(vietoris_rips(x, gradient=gradient))
        first = first or loss.item()
        share = loss.item() / first
        if share <= options.share or steps == options.steps:
            return {"steps": steps, "seconds": seconds, "share": share, "reached": float(share <= options.share)}
        (slope,) = torch.autograd.grad(loss, x)
        x = (x.detach() - rate * slope).requires_grad_(True)
        seconds += time.process_time() - begin
        steps += 1


def _page(rows: Rows) -> list[str]:
    body = []
    for row in rows:
        runs = row["runs"]["all"]
        cells = [
            row["task"],
            row["gradient"],
            f"{row['rate']:g}",
            f"{sum(run['reached'] for run in runs):.0f}/{len(runs)}",
        ]
        for key, form in (("steps", ".0f"), ("seconds", ".2f"), ("share", ".3f")):
            values = sorted(run[key] for run in runs)
            cells.append(f"{statistics.median(values):{form}} ({values[0]:{form}} to {values[-1]:{form}})")
        body.append(cells)
    return [
        "## Descents",
        "",
        f"40 points (the disk: 80), at most {rows[0]['limit']} steps of gradient descent; medians and ranges over the "
        "seeds. Steps and CPU seconds are those until the target is reached, or of the whole run; the loss is a share "
        "of its start.",
        "",
        *table(["task", "gradient", "learning rate", "reached", "steps", "seconds", "loss at the end"], body),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--share", type=float, default=0.05, help="of the loss at the start, that ends a run")
    parser.add_argument("--note", default="", help="a sentence for the page on how this was measured")
    parser.add_argument("--dry", action="store_true", help="print only, write nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    packages = ["torch", "numba", "numpy"]
    keep(__file__, TITLE, {"descents": descents(options)}, {"descents": _page}, packages, options.dry, options.note)


if __name__ == "__main__":
    main()
