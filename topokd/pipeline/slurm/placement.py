"""On how many nodes a task runs, and how many processes, cores and GPUs it has on each.

All stages are one process on one node, except those that train a network: they start ``train.ranks`` processes (ranks),
with one GPU each. Where the ranks need more GPUs or cores than a node has, they are spread evenly over several nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

from topokd.errors import ParameterError
from topokd.pipeline.slurm.cluster import TRAINING, Resources


@dataclass(frozen=True)
class Placement:
    """Where the processes of one task run."""

    nodes: int
    per_node: int  # processes on each node
    cpus: int  # cores of each process
    gpus: int  # GPUs of the task on each node

    @property
    def ranks(self) -> int:
        """Number of processes."""
        return self.nodes * self.per_node

    def __str__(self) -> str:
        """Nodes x GPUs of each, and the ranks if there are several.

        Examples:
            >>> print(Placement(1, 1, 4, 0), Placement(1, 2, 9, 2), Placement(2, 1, 9, 1), sep="; ")
            1 x 0; 1 x 2, 2 ranks; 2 x 1, 2 ranks
        """
        return f"{self.nodes} x {self.gpus}" + (f", {self.ranks} ranks" if self.ranks > 1 else "")


def place_task(kind: str, resources: Resources, cpus: int, ranks: int) -> Placement:
    """As few nodes as hold the processes of a task, with equally many on each.

    Args:
        kind: kind of stage, such as ``teacher``.
        resources: resources of that kind.
        cpus: cores of one process, used if ``resources.cpus`` is 0.
        ranks: the profile's ``train.ranks``.

    Raises:
        ParameterError: no node, or too few nodes, of the cluster's file can hold them; the message says which number
            to change.

    Examples:
        >>> print(place_task("teacher", Resources(gres="gpu:{ranks}"), cpus=9, ranks=4))
        1 x 4, 4 ranks
        >>> print(place_task("teacher", Resources(gres="gpu:{ranks}", gpus_per_node=2), cpus=9, ranks=4))
        2 x 2, 4 ranks
        >>> place_task("evaluation", Resources(gres="gpu:1", gpus_per_node=2), cpus=9, ranks=4)
        Placement(nodes=1, per_node=1, cpus=9, gpus=1)
        >>> place_task("teacher", Resources(gres="gpu:{ranks}", gpus_per_node=1, nodes=2), cpus=9, ranks=4)
        Traceback (most recent call last):
        topokd.errors.ParameterError: teacher: train.ranks is 4; with 1 on each node that takes 4 nodes, ...
    """
    ranks = ranks if kind in TRAINING else 1
    cpus = resources.cpus or cpus
    _check_one_process(kind, resources, cpus)
    per_node = max(count for count in range(1, ranks + 1) if ranks % count == 0 and _fits(resources, count, cpus))
    nodes = ranks // per_node
    if 0 < resources.nodes < nodes:
        raise ParameterError(
            f"{kind}: train.ranks is {ranks}; with {per_node} on each node that takes {nodes} nodes, but nodes is "
            f"{resources.nodes}: set train.ranks of the profile to {resources.nodes * per_node}, or correct nodes, "
            "gpus_per_node or cpus_per_node in the cluster's file"
        )
    return Placement(nodes, per_node, cpus, resources.gpus(per_node))


def _fits(resources: Resources, count: int, cpus: int) -> bool:
    """Whether a node holds ``count`` processes: with a GPU each, if the stage uses GPUs, and their cores."""
    gpus = resources.gpus(count)
    enough_gpus = count <= gpus <= (resources.gpus_per_node or gpus) if gpus else True
    return enough_gpus and count * cpus <= (resources.cpus_per_node or count * cpus)


def _check_one_process(kind: str, resources: Resources, cpus: int) -> None:
    """Raise `ParameterError` if a node does not hold a single process."""
    gpus = resources.gpus(ranks=1)
    if 0 < resources.gpus_per_node < gpus:
        raise ParameterError(
            f"{kind}: gres {resources.gres} asks for {gpus} GPUs on one node, but gpus_per_node is "
            f"{resources.gpus_per_node}: correct one of them in the cluster's file"
        )
    if 0 < resources.cpus_per_node < cpus:
        origin = "cpus" if resources.cpus else "train.threads + train.workers of the profile"
        raise ParameterError(
            f"{kind}: one process takes {cpus} cores ({origin}), but cpus_per_node is {resources.cpus_per_node}: "
            "change one of them (train.threads changes the last digits of results)"
        )


def sbatch_options(resources: Resources, placement: Placement) -> list[str]:
    """Options of sbatch for one task.

    Examples:
        >>> alone = Placement(nodes=1, per_node=1, cpus=9, gpus=1)
        >>> sbatch_options(Resources(gres="gpu:1"), alone)
        ['--time=02:00:00', '--mem=8G', '--cpus-per-task=9', '--gres=gpu:1']
        >>> spread = Placement(nodes=2, per_node=4, cpus=9, gpus=4)
        >>> sbatch_options(Resources(gres="gpu:{ranks}"), spread)[2:]
        ['--nodes=2', '--ntasks-per-node=4', '--cpus-per-task=9', '--gres=gpu:4']
    """
    named = {name: getattr(resources, name) for name in ("partition", "account", "qos", "time")}
    named["mem"] = resources.memory
    if placement.ranks > 1:
        named |= {"nodes": str(placement.nodes), "ntasks-per-node": str(placement.per_node)}
    named["cpus-per-task"] = str(placement.cpus) if placement.cpus else ""
    named["gres"] = resources.gres_of(placement.per_node)
    given = [f"--{name}={value}" for name, value in named.items() if value]
    return [*given, *(["--exclusive"] if resources.exclusive else []), *resources.options]


def srun_options(placement: Placement) -> list[str]:
    """Options of the ``srun`` that starts the ranks of a training on several nodes.

    srun takes ``--export=NONE`` and no cores from the job that it runs in unless it is told otherwise.

    Examples:
        >>> " ".join(srun_options(Placement(nodes=2, per_node=1, cpus=9, gpus=1))[:4])
        '--nodes=2 --ntasks=2 --ntasks-per-node=1 --cpus-per-task=9'
    """
    return [
        f"--nodes={placement.nodes}",
        f"--ntasks={placement.ranks}",
        f"--ntasks-per-node={placement.per_node}",
        f"--cpus-per-task={placement.cpus}",
        "--export=ALL",
        "--input=none",
        "--kill-on-bad-exit=1",
    ]
