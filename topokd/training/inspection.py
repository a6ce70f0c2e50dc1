"""The batch of a step whose loss or gradient was not finite, kept as a file."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from topokd.data import Batch
from topokd.errors import TrainingError
from topokd.io import atomic_path
from topokd.training.distributed import Ranks

log = logging.getLogger(__name__)

TENSORS = ("coord", "grid_coord", "feat", "label", "offsets")


@contextlib.contextmanager
def kept_for_inspection(batch: Batch, folder: Path | None, run: str, step: int, ranks: Ranks) -> Iterator[None]:
    """Save ``batch`` when the block raises a `TrainingError`.

    Args:
        batch: the clouds of this process.
        folder: created if missing; None: nothing is saved.
        run: name of the run.
        step: its step, from 1.
        ranks: each saves its own clouds.

    Raises:
        TrainingError: that of the block; names the file, if it was saved.
    """
    try:
        yield
    except TrainingError as error:
        if folder is None:
            raise
        rank = f"-rank{ranks.rank}" if ranks.size > 1 else ""
        path = folder / f"{run}-step{step}{rank}.safetensors"
        try:
            save_batch(path, batch)
        except OSError as problem:  # the error of the training matters more
            log.warning("the batch cannot be saved: %s", problem)
            raise error from None
        raise TrainingError(f"{error}. Its batch: {path} (topokd.training.load_batch)") from error


def save_batch(path: Path, batch: Batch) -> None:
    """Write the voxels of ``batch``, and the names of its scans, to ``path`` as safetensors."""
    given = {name: getattr(batch, name) for name in TENSORS}
    tensors = {name: value.cpu().contiguous() for name, value in given.items() if isinstance(value, Tensor)}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, {"names": "\n".join(batch.names)})


def load_batch(path: str | Path) -> Batch:
    """The batch that a failed training saved.

    Args:
        path: the path in the error message.

    Returns:
        The batch, on the CPU.

    Examples:
        >>> import tempfile, torch
        >>> grid = torch.zeros(2, 3).long()
        >>> batch = Batch(0.1 * grid, grid, torch.ones(2, 4), None, torch.tensor([2]), names=("a",))
        >>> file = Path(tempfile.mkdtemp(), "full-seed0-step3.safetensors")
        >>> save_batch(file, batch)
        >>> load_batch(file).names, load_batch(file).feat.isfinite().all().item()
        (('a',), True)
    """
    with safe_open(path, "pt") as file:
        given: dict[str, Any] = {name: file.get_tensor(name) if name in file.keys() else None for name in TENSORS}  # noqa: SIM118
        names = (file.metadata() or {}).get("names", "")
    return Batch(**given, names=tuple(names.split("\n")) if names else ())
