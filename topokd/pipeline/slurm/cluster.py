"""conf/cluster.yaml: the resources of each kind of stage on a SLURM cluster. One file per cluster."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from topokd.errors import ParameterError
from topokd.project import project_path
from topokd.schema import Count, Natural, Section, Switch, nearest, validate
from topokd.yaml_text import parse_yaml

# kinds of stages that start train.ranks processes, and that can stop before the time limit and continue
TRAINING = ("teacher", "student", "panels")
TIME = re.compile(r"(\d+-)?\d+(:\d\d){0,2}|UNLIMITED")


class Resources(Section):
    """Resources of one task of a kind of stage."""

    partition: str = Field("", description="'': the cluster's default")
    account: str = Field("", description="'': your default")
    qos: str = Field("", description="'': your default")
    time: str = Field("02:00:00", description="time limit, in quotes; training resumes after it as often as needed")
    memory: str = Field("8G", description="memory of one task, on each of its nodes")
    cpus: Natural = Field(0, description="cores of one process; 0: the profile's train.threads + train.workers")
    gres: str = Field("", description="on each node: gpu:1 if the stage uses a GPU; {ranks}: ranks on the node")
    gpus_per_node: Natural = Field(0, description="GPUs of a node; ranks beyond them take further nodes; 0: all on one")
    cpus_per_node: Natural = Field(0, description="cores of a node; likewise")
    nodes: Natural = Field(0, description="nodes that one training may take; 0: as many as its ranks need")
    exclusive: Switch = Field(False, description="reserve the node for this task, because it measures time")
    at_once: Natural = Field(0, description="tasks of this kind that may run at the same time; 0: all")
    options: tuple[str, ...] = Field((), description="further options of sbatch, such as --constraint=a100")

    @field_validator("time", mode="before")
    @classmethod
    def _in_quotes(cls, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError('put it in quotes: "90" is 90 minutes, "01:30:00" an hour and a half')
        if not TIME.fullmatch(value):
            raise ValueError("it must be a time of SLURM: minutes, hours:minutes:seconds or days-hours:minutes:seconds")
        return value

    @field_validator("options")
    @classmethod
    def _long_options(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [option for option in value if not re.fullmatch(r"--[a-z-]+(=\S+)?", option)]:
            raise ValueError(f"{wrong[0]!r} is not of the form --name=value")
        return value

    @property
    def limit_seconds(self) -> float:
        """The time limit in seconds.

        Examples:
            >>> times = ("90", "90:30", "2:00:00", "1-6", "1-6:30", "UNLIMITED")
            >>> [Resources(time=time).limit_seconds / 60 for time in times]
            [90.0, 90.5, 120.0, 1800.0, 1830.0, inf]
        """
        if self.time == "UNLIMITED":
            return math.inf
        days, dash, clock = self.time.rpartition("-")
        parts = [int(part) for part in clock.split(":")]
        if dash or len(parts) == 3:
            hours, minutes, seconds = [*parts, 0, 0][:3]
        else:  # without days, one number is minutes and two are minutes and seconds
            hours, minutes, seconds = 0, *[*parts, 0][:2]
        return 86400.0 * int(days or 0) + 3600 * hours + 60 * minutes + seconds

    def gpus(self, ranks: int = 1) -> int:
        """Number of GPUs of one task on each of its nodes.

        Args:
            ranks: number of processes of one training on the node.

        Examples:
            >>> [Resources(gres=gres).gpus(ranks=2) for gres in ("", "gpu", "gpu:{ranks}", "gpu:a100:4,lscratch:100")]
            [0, 1, 2, 4]
        """
        kinds = [kind.split("(")[0].split(":") for kind in self.gres_of(ranks).split(",")]
        return sum(int(kind[-1]) if kind[-1].isdigit() else 1 for kind in kinds if kind[0] == "gpu")

    def gres_of(self, ranks: int) -> str:
        """``gres`` of a node on which ``ranks`` processes run."""
        return self.gres.replace("{ranks}", str(ranks))


class Cluster(Section):
    """The content of conf/cluster.yaml."""

    setup: tuple[str, ...] = Field((), description="shell lines before every stage: module load, conda activate")
    container: str = Field("", description="image for `apptainer exec`; '': none")
    python: str = Field("", description="interpreter; '': the one that submits, and `python` in a container")
    stop_before: Count = Field(180, description="seconds before the time limit at which training saves and requeues")
    default: Resources = Field(Resources(), description="resources of every stage")
    stages: dict[str, dict[str, Any]] = Field({}, description="differences from that, by kind of stage")

    def resources(self, kind: str) -> Resources:
        """Resources of a kind of stage, such as ``teacher``."""
        return self.default.replace(**self.stages.get(kind, {}))


def cluster_file(name: str) -> Path:
    """``conf/cluster.yaml`` for an empty name, else ``conf/cluster-<name>.yaml``, or a path to a .yaml file."""
    if name.endswith((".yaml", ".yml")):
        return project_path(name)
    return project_path("conf") / (f"cluster-{name}.yaml" if name else "cluster.yaml")


def load_cluster(name: str, kinds: set[str]) -> Cluster:
    """Read and validate the description of a cluster.

    Args:
        name: see `cluster_file`.
        kinds: known kinds of stages.

    Raises:
        ParameterError: the file does not exist, or a field in it is wrong; the message names both.
    """
    file = cluster_file(name)
    try:
        tree = parse_yaml(file.read_bytes(), str(file)) or {}
    except FileNotFoundError:
        raise ParameterError(f"{file} does not exist: copy conf/cluster.yaml to it and adapt it") from None
    cluster = validate(Cluster, tree, file=str(file))
    for kind, differences in cluster.stages.items():
        if kind not in kinds:
            raise ParameterError(f"{file}: stages: there is no kind of stage {kind!r}; {nearest(kind, kinds)}")
        merged = {name: getattr(cluster.default, name) for name in Resources.model_fields} | differences
        validate(Resources, merged, file=str(file), where=f"stages.{kind}")
    for kind in TRAINING:
        if kind in kinds and (resources := cluster.resources(kind)).limit_seconds <= cluster.stop_before:
            raise ParameterError(
                f"{file}: the time of {kind} is {resources.time}, no longer than stop_before "
                f"({cluster.stop_before} s): each training would stop as soon as it has begun"
            )
    return cluster
