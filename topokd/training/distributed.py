"""Data parallel training: R processes (ranks), each with its share of the clouds of every batch.

Rank r of R takes clouds r B/R to (r + 1) B/R of a batch of B. With l_r the loss of its share, all ranks step along the
gradient of mean_r l_r, which is that of the whole batch: a mean over voxels is weighed by the rank's share of them
(`Ranks.weigh`), a mean over clouds needs no weight because all ranks have equally many, BatchNorm sees the voxels of
all ranks (`SyncBatchNorm`), and random draws are those of the whole batch (`Ranks.rand`). So the loss curve is that of
one process with the same batch, up to rounding. Terms that compare rows with each other, of clouds or of classes
(Lovasz-Softmax), do so within a rank, as the topological term does within a cloud.

Everything is summed in the order of the ranks: for a fixed number of them a run is the same bit for bit, even if it
was resumed.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from topokd.clouds import at_least_float32
from topokd.errors import TrainingError
from topokd.models.blocks import DropPath

T = TypeVar("T")
RENDEZVOUS = "TOPOKD_RENDEZVOUS"  # where the ranks that `topokd.training.launch` starts meet


class ProcessRank(NamedTuple):
    """Number of this process, how many there are, and its number on this node."""

    rank: int
    size: int
    local: int


def place(environment: Mapping[str, str] = os.environ) -> ProcessRank | None:
    """The place that torchrun or srun gave to this process; None: it is alone.

    Examples:
        >>> place({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"})
        ProcessRank(rank=3, size=8, local=1)
        >>> place({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "0"})
        ProcessRank(rank=1, size=2, local=0)
        >>> place({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}) is None
        True
    """
    for size, rank, local in (
        ("WORLD_SIZE", "RANK", "LOCAL_RANK"),
        ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID"),
    ):
        if {size, rank, local} <= environment.keys() and int(environment[size]) > 1:
            return ProcessRank(int(environment[rank]), int(environment[size]), int(environment[local]))
    return None


def device_of(place: ProcessRank | None) -> torch.device:
    """The GPU of a process, or the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if place is None:
        return torch.device("cuda")
    return torch.device("cuda", place.local % torch.cuda.device_count())


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; `Ranks()` is one process alone, and changes no number.

    Attributes:
        rank: number of this process.
        size: how many there are.
        device: device of the tensors that they exchange.

    Examples:
        >>> alone = Ranks()
        >>> alone.is_main, alone.split([5, 6, 7]), alone.any(False), alone.clouds(4)
        (True, [5, 6, 7], False, range(0, 4))
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def clouds(self, batch_size: int) -> range:
        """Numbers of this rank's clouds in a batch."""
        share = batch_size // self.size
        return range(self.rank * share, (self.rank + 1) * share)

    def split(self, items: Sequence[T]) -> Sequence[T]:
        """Every R-th item, from number r: each item belongs to one rank."""
        return items[self.rank :: self.size]

    def gather(self, value: Tensor) -> Tensor:
        """(R, ...): the values of all ranks, which have one shape."""
        gathered = value.new_empty(self.size, *value.shape)
        dist.all_gather(list(gathered.unbind()), value.detach().contiguous())
        return gathered

    def sum(self, value: Tensor) -> Tensor:
        """The sum over ranks, without a graph."""
        return value if self.size == 1 else self.gather(value).sum(0)

    def mean(self, value: Tensor) -> Tensor:
        """The mean over ranks, without a graph."""
        return value if self.size == 1 else self.gather(value).sum(0) / self.size

    def any(self, value: bool) -> bool:
        """Whether it is true on any rank."""
        return value if self.size == 1 else bool(self.sum(torch.tensor(int(value), device=self.device)))

    def weigh(self, mean: Float[Tensor, ""], rows: int | Tensor) -> Float[Tensor, ""]:
        """w_r ``mean`` with w_r = R n_r / sum_s n_s, so that the mean over ranks is the mean over the rows of all.

        Args:
            mean: over ``rows`` rows of this rank.
            rows: n_r.
        """
        if self.size == 1:
            return mean
        rows = torch.as_tensor(rows, device=self.device)
        return mean * (rows * self.size / self.sum(rows).clamp(min=1)).to(mean.dtype)

    def rand(self, rows: int) -> Float[Tensor, " rows"]:
        """This rank's part of the uniform numbers that a single process would draw for the whole batch.

        Args:
            rows: number of rows of this rank; torch's global generator is in the same state on all ranks.
        """
        counts: list[int] = self.gather(torch.tensor(rows, device=self.device)).tolist()
        start = sum(counts[: self.rank])
        return torch.rand(sum(counts))[start : start + rows]

    def prepare(self, model: nn.Module, sync_batchnorm: bool) -> nn.Module:
        """The network to call in training in place of ``model``, whose gradients are then means over ranks.

        Args:
            model: on its device; its BatchNorm layers are replaced if they are to be synchronised.
            sync_batchnorm: whether BatchNorm sees the voxels of all ranks.
        """
        if self.size == 1:
            return model
        for module in list(model.modules()):
            if isinstance(module, DropPath):
                module.random = self.rand
            if sync_batchnorm:
                for name, child in module.named_children():
                    if type(child) is nn.BatchNorm1d:
                        setattr(module, name, SyncBatchNorm.of(child, self))
        parallel = DistributedDataParallel(model)
        # torch compares the annotation of a hook, which is text in this file: a lambda has none
        parallel.register_comm_hook(self, lambda ranks, bucket: _mean_in_order(ranks, bucket))
        return parallel

    def mean_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients of parameters outside the prepared network by their means over ranks."""
        for parameter in parameters if self.size > 1 else ():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad = self.mean(gradient)

    def share_buffers(self, model: nn.Module) -> None:
        """Give the running statistics of rank 0 to all: without `SyncBatchNorm` each rank has its own."""
        for buffer in model.buffers() if self.size > 1 else ():
            buffer.copy_(self.gather(buffer)[0])


@contextlib.contextmanager
def joined(place: ProcessRank | None, device: torch.device) -> Iterator[Ranks]:
    """Join the process group of all ranks, and leave it at the end.

    Args:
        place: rank and number of ranks; None for a single process.
        device: device of this rank.

    Raises:
        TrainingError: the node of rank 0 cannot be found.
    """
    if place is None:
        yield Ranks()
        return
    if RENDEZVOUS not in os.environ and "MASTER_ADDR" not in os.environ:
        meet_in_slurm()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, os.environ.get(RENDEZVOUS, "env://"), rank=place.rank, world_size=place.size)
    try:
        yield Ranks(place.rank, place.size, device)
        dist.barrier()  # the files of rank 0 are there when any rank returns
    finally:
        dist.destroy_process_group()


def meet_in_slurm() -> None:
    """Set the address that srun does not set: the first node of the step, and a port derived from the job's number.

    Raises:
        TrainingError: the node of rank 0 cannot be found.
    """
    nodes = os.environ.get("SLURM_STEP_NODELIST", "")
    try:
        first = _scontrol("hostnames", nodes).split()[0]
        # as SLURM itself reaches the node: the name of a node need not be that of a machine
        address = re.search(r"\bNodeAddr=(\S+)", _scontrol("node", first))
        os.environ["MASTER_ADDR"] = address[1] if address else first
        socket.getaddrinfo(os.environ["MASTER_ADDR"], None)  # otherwise torch would try for half an hour
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise TrainingError(
            f"the first of the nodes {nodes or '(SLURM_STEP_NODELIST is not set)'} cannot be found ({error}): set "
            "MASTER_ADDR to its name or address, and MASTER_PORT to a free port"
        ) from error
    job = int(os.environ.get("SLURM_JOB_ID", "0")) + int(os.environ.get("SLURM_STEP_ID", "0"))
    os.environ.setdefault("MASTER_PORT", str(20000 + job % 20000))


def _scontrol(kind: str, name: str) -> str:
    return subprocess.run(["scontrol", "show", kind, name], check=True, capture_output=True, text=True).stdout


def _mean_in_order(ranks: Ranks, bucket: dist.GradBucket) -> Any:
    """A future of the mean of a bucket of gradients, added in an order that does not depend on the buckets.

    DDP rebuilds its buckets after the first step of a process, which would change the bits of a resumed run.
    """
    own = bucket.buffer()
    gathered = own.new_empty(ranks.size, *own.shape)
    work = dist.all_gather(list(gathered.unbind()), own, async_op=True)

    def mean(_: Any) -> Tensor:
        return gathered.sum(0) / ranks.size

    return work.get_future().then(mean)


class _Sum(torch.autograd.Function):
    """y = sum_r x_r on every rank; the gradient in x_r is sum_s dL_s/dy. Can be differentiated again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks.sum(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return _Sum.apply(grads[0], ctx.ranks), None


class SyncBatchNorm(nn.BatchNorm1d):
    """BatchNorm1d over the rows of all ranks: y = (x - mu) / sqrt(var + eps) * weight + bias in training mode.

    mu and var are those of the n = sum_r n_r rows; the running variance takes n / (n - 1) var. Unlike torch's own, it
    runs on a CPU and can be differentiated twice. In evaluation mode it is BatchNorm1d.
    """

    ranks: Ranks

    @classmethod
    def of(cls, layer: nn.BatchNorm1d, ranks: Ranks) -> SyncBatchNorm:
        """A synchronised layer for ``ranks`` that shares the parameters and running statistics of ``layer``."""
        new = cls(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
        new.weight, new.bias, new.training, new.ranks = layer.weight, layer.bias, layer.training, ranks
        for name, buffer in layer.named_buffers():
            new.register_buffer(name, buffer)
        return new

    def forward(self, input: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """Normalise the rows."""
        if not self.training:
            return super().forward(input)
        x = at_least_float32(input)
        rows = self.ranks.sum(torch.tensor(len(x), device=x.device)).to(x.dtype)  # n
        mean = _Sum.apply(x.sum(0), self.ranks) / rows  # (c,)
        var = _Sum.apply((x - mean).square().sum(0), self.ranks) / rows  # (c,)
        self._update(mean.detach(), var.detach() * rows / (rows - 1).clamp(min=1))
        y = (x - mean) * torch.rsqrt(var + self.eps)
        return (y * self.weight + self.bias if self.affine else y).to(input.dtype)

    def _update(self, mean: Float[Tensor, " c"], var: Float[Tensor, " c"]) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(var.to(self.running_var.dtype), share)
