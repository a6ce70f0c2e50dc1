"""Memory does not grow with steps: the short form of benchmarks/memory.md (5,000 steps, 20 epochs)."""

from __future__ import annotations

import gc
from pathlib import Path

import psutil
import pytest
import torch

from topokd import params as P
from topokd.data import Batch, prefetch, training_batch
from topokd.distillation import DistillationObjective
from topokd.models import build_model
from topokd.params import Train
from topokd.scans import open_dataset
from topokd.training import Fit, Hook, Resume
from topokd.training.determinism import deterministic
from topokd.training.hooks import LiveCurves
from topokd.training.state import ResumeFolder

pytestmark = pytest.mark.long
STEPS = 40


def random_clouds(step: int) -> Batch:
    """Two clouds; another number of voxels at every step, as in whole scans, and every ten steps the same."""
    generator = torch.Generator().manual_seed(step % 10)
    sizes = torch.randint(100, 200, (2,), generator=generator).tolist()
    cube = torch.cartesian_prod(*[torch.arange(6)] * 3)
    grid = torch.cat([cube[torch.randperm(216, generator=generator)[:n]] for n in sizes])
    feat = torch.cat([0.2 * grid, torch.rand(len(grid), 1, generator=generator)], 1)
    return Batch(0.2 * grid, grid, feat, label=grid[:, 2] // 3, offsets=torch.tensor(sizes).cumsum(0))


class LiveTensors(Hook):
    """Bytes of all tensors that Python can reach after some steps."""

    def __init__(self) -> None:
        self.bytes: list[int] = []

    def after_step(self, fit: Fit) -> None:
        if fit.state.step % 10 == 0:
            gc.collect()
            tensors = [x for x in gc.get_objects() if type(x) in (torch.Tensor, torch.nn.Parameter)]
            self.bytes.append(
                sum({x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in tensors}.values())
            )


class Keeps(Hook):
    """A leak: of every step one tensor of four kilobytes."""

    def __init__(self) -> None:
        self.kept: list[torch.Tensor] = []

    def after_step(self, fit: Fit) -> None:
        self.kept.append(torch.zeros(1024))


def live_bytes(folder: Path, *more: Hook) -> list[int]:
    """After 20, 30, ... steps: what the first ten leave is the state of the optimizer."""
    torch.manual_seed(0)
    model, live = build_model("ptv3-tiny", num_classes=2), LiveTensors()
    hooks = [*more, LiveCurves(folder / "live"), Resume(ResumeFolder(folder, "run", "key"), every=5), live]
    fit = Fit(model, DistillationObjective({}), random_clouds, STEPS, Train(), seed=0, hooks=hooks)
    with deterministic(threads=1):
        fit.run()
    return live.bytes[1:]


def test_a_training_keeps_no_tensor_from_step_to_step(tmp_path: Path):
    sizes = live_bytes(tmp_path)
    assert len(sizes) == STEPS // 10 - 1 and len(set(sizes)) == 1, sizes


def test_a_tensor_that_is_kept_would_be_seen(tmp_path: Path):
    sizes = live_bytes(tmp_path, Keeps())
    assert sizes[-1] - sizes[0] == 4096 * (STEPS - 20), sizes


@pytest.mark.parametrize("leaks", [False, True], ids=["as it is", "with a leak"])
def test_the_memory_of_a_worker_of_the_loader_stays_flat_over_epochs(params: P.Params, leaks: bool):
    scans = open_dataset(params.data, params.data_root, "train")
    size, kept = 2, list[Batch]()
    steps = len(scans) // size

    def draw(step: int) -> Batch:
        batch = training_batch(scans, params.data, 0, step, size)
        if leaks:
            kept.append(batch)
        return batch

    before = {child.pid for child in psutil.Process().children()}
    resident = []
    for step, _ in enumerate(prefetch(draw, range(200 * steps), workers=1)):
        if (step + 1) % (10 * steps) == 0:
            (worker,) = [child for child in psutil.Process().children() if child.pid not in before]
            resident.append(worker.memory_info().rss)
    assert (max(resident[5:]) - resident[4] > 4e6) is leaks, [round(rss / 1e6, 1) for rss in resident]
