"""What pages of 2 MB save in training: `python benchmarks/huge_pages.py`; needs the scans of the default profile.

The notebook runner sets `glibc.malloc.hugetlb=1` (`topokd.pipeline.allocator.HUGE_PAGES`). A step is the forward and
backward pass and the update of a network on the default profile's batches, with one thread. Each process runs with or
without the setting, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from report import Rows, keep, table

from topokd.pipeline.allocator import HUGE_PAGES

WARM_UP = 5  # steps that do not count


def step_times(network: str, steps: int) -> dict[str, float]:
    """Median CPU time of a step, the last loss, page faults, and the peak memory of this process."""
    import torch
    from timing import cpu_seconds

    from topokd.data import training_batch
    from topokd.distillation import NetworkOutput, build_objective
    from topokd.models import build_model
    from topokd.params import load_profile
    from topokd.scans import open_dataset

    torch.set_num_threads(1)
    torch.manual_seed(0)
    params = load_profile("default")
    scans = open_dataset(params.data, params.data_root, "train")
    model = build_model(getattr(params.model, network), num_classes=scans.num_classes).train()
    objective = build_objective(params, "plain")
    optimizer = torch.optim.AdamW(model.parameters())
    batches = [training_batch(scans, params.data, 0, k, params.train.batch_size) for k in range(8)]
    losses: list[float] = []

    def step() -> None:
        batch = batches[len(losses) % len(batches)]
        optimizer.zero_grad()
        loss = objective(NetworkOutput(*model(batch, taps=True)), batch.label, digests={}).total
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    seconds = [cpu_seconds(step) for _ in range(WARM_UP + steps)][WARM_UP:]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": statistics.median(seconds), "loss": losses[-1], "faults": usage.ru_minflt,
        "peak": usage.ru_maxrss / 1000,
    }  # fmt: skip


def turns(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row per network."""
    for network in ("student", "teacher"):
        measured: dict[int, list[dict[str, float]]] = {0: [], 1: []}
        for turn in range(options.turns):
            for setting in (0, 1) if turn % 2 else (1, 0):
                environment = {**os.environ, "GLIBC_TUNABLES": f"{HUGE_PAGES}={setting}"}
                command = [sys.executable, __file__, "--network", network, "--steps", str(options.steps)]
                done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
                measured[setting].append(json.loads(done.stdout))
        median = {
            name: [statistics.median(process[name] for process in measured[setting]) for setting in (0, 1)]
            for name in ("seconds", "faults", "peak")
        }
        ratios = [b["seconds"] / a["seconds"] for a, b in zip(measured[0], measured[1], strict=True)]
        yield {
            "network": network,
            **{f"{name}_small": small for name, (small, _) in median.items()},
            **{f"{name}_huge": huge for name, (_, huge) in median.items()},
            "ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios),
            "losses": len({process["loss"] for processes in measured.values() for process in processes}),
        }  # fmt: skip


def section(rows: Rows) -> list[str]:
    """The table."""
    head = [
        "network",
        "step, 4 kB (s)",
        "step, 2 MB (s)",
        "ratio, median (range)",
        "page faults",
        "peak (MB)",
        "losses",
    ]
    lines = [
        [
            row["network"], f"{row['seconds_small']:.4f}", f"{row['seconds_huge']:.4f}",
            f"{row['ratio']:.3f} ({row['lowest']:.3f} to {row['highest']:.3f})",
            f"{row['faults_small']:,.0f} → {row['faults_huge']:,.0f}",
            f"{row['peak_small']:.0f} → {row['peak_huge']:.0f}",
            "equal" if row["losses"] == 1 else "**different**",
        ]
        for row in rows
    ]  # fmt: skip
    return table(head, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=6, help="processes per setting and network")
    parser.add_argument("--steps", type=int, default=24, help="per process")
    parser.add_argument("--dry", action="store_true", help="print only")
    parser.add_argument("--network", choices=("student", "teacher"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.network:
        print(json.dumps(step_times(options.network, options.steps)))
        return
    note = f"one thread, CPU time, {options.turns} processes per setting in turns, {options.steps} steps each"
    keep(__file__, "Pages of 2 MB", {"training": turns(options)}, {"training": section}, ("torch", "numpy"),
         options.dry, note)  # fmt: skip


if __name__ == "__main__":
    main()
