"""Profiles and trained networks of a project, and what a network computes on a scan."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64, UInt8
from numpy import ndarray

from topokd import params as P
from topokd.data import IGNORE, Batch, Scan, collate, voxelize
from topokd.distillation import SegmentationLoss, saliency_map
from topokd.distillation.saliency_map import feature_gradients
from topokd.errors import DataError, TopokdError
from topokd.models import PointTransformerV3, load_checkpoint
from topokd.params import Params
from topokd.project import TEACHER, project_path, results_path, split_run_name
from topokd.viz.rows import looks

log = logging.getLogger(__name__)

Say = Callable[[str], None]


def silent(text: str) -> None:
    """Say nothing."""


def profiles() -> list[str]:
    """Profiles that can be read: those with results first, then the others in conf/; none outside a project."""
    if not project_path("params.yaml").is_file():
        return []
    readable = []
    for name in sorted(P.profile_names(), key=lambda name: not (results_path(name) / "params.yaml").is_file()):
        try:
            profile_params(name)
            readable.append(name)
        except (TopokdError, OSError) as error:
            log.warning("profile %s is left out: %s", name, error)
    return readable


def profile_params(profile: str) -> Params:
    """The parameters that a profile's results were made with; those of the project if there are no results yet."""
    resolved = results_path(profile) / "params.yaml"
    return P.load(resolved) if resolved.is_file() else P.load_profile(profile)


@dataclass(frozen=True)
class Network:
    """A trained network of a profile.

    Attributes:
        name: name of its checkpoint, such as "full-seed0".
        label: name shown to people, such as "Full, seed 0".
        color: colour of its row, "#rrggbb".
        teacher: whether it is a teacher.
        checkpoint: its weights.
    """

    name: str
    label: str
    color: str
    teacher: bool
    checkpoint: Path


def networks(params: Params) -> list[Network]:
    """The networks whose final weights exist, the teachers first, then in the order of `params.rows`."""
    look = looks(params)
    order = list(look)
    entries = []
    for file in (params.workspace / "checkpoints").glob("*.safetensors"):
        row, seed = split_run_name(file.stem) or (file.stem, None)
        about = look.get(row)
        label = (about.label if about else row) + ("" if seed is None else f", seed {seed}")
        place = order.index(row) if row in order else len(order)
        color = about.color if about else "#6c757d"
        network = Network(file.stem, label, color, row == TEACHER, file)
        entries.append((place, seed or 0, network.name, network))
    return [entry[-1] for entry in sorted(entries, key=lambda entry: entry[:3])]


@dataclass(frozen=True)
class StageFeatures:
    """The voxels of one encoder stage of a scan, in an order that all networks share.

    Attributes:
        positions: (n, 3) mean position of the scan's voxels in each, in metres.
        of_voxel: (N,) row of each of the scan's voxels.
        keys: (n, 3) grid positions, sorted.
    """

    positions: Float64[ndarray, "n 3"]
    of_voxel: Int64[ndarray, " N"]
    keys: Int64[ndarray, "n 3"]


@dataclass
class View:
    """A scan and its voxels at every stage.

    Args:
        scan: the points.
        voxel_size: edge of a voxel in metres.
        class_names: names of the classes of the labels.
        palette: RGB 0..255 of each class.
    """

    scan: Scan
    voxel_size: float
    class_names: tuple[str, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()
    batch: Batch = field(init=False)
    _stages: dict[int, StageFeatures] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.batch = collate([voxelize(self.scan, self.voxel_size)])

    @property
    def of_point(self) -> Int64[ndarray, " p"]:
        """Voxel of each point of the scan."""
        assert self.batch.inverse is not None
        return self.batch.inverse.numpy()

    def stage(self, index: int) -> StageFeatures:
        """The voxels of one stage: each stage halves the grid."""
        if index not in self._stages:
            grid = self.batch.grid_coord.numpy() >> index
            keys, of_voxel = np.unique(grid, axis=0, return_inverse=True)
            of_voxel = of_voxel.reshape(-1)
            counts = np.bincount(of_voxel, minlength=len(keys))
            coord = self.batch.coord.double().numpy()
            sums = np.stack([np.bincount(of_voxel, coord[:, axis], len(keys)) for axis in range(3)], axis=1)
            self._stages[index] = StageFeatures(sums / counts[:, None], of_voxel, keys.astype(np.int64))
        return self._stages[index]


@dataclass(frozen=True)
class ScanOutputs:
    """Outputs of one network on a scan, rows in the order of `View.stage`.

    Attributes:
        features: per stage, (n, c).
        saliency: per stage, (n,) the map of Eq. 4-6; empty without labels.
        prediction: (p,) class of each point of the scan.
    """

    features: list[Float32[ndarray, "_ _"]]
    saliency: list[Float32[ndarray, " _"]]
    prediction: Int64[ndarray, " p"]


def look_at(view: View, network: Network) -> ScanOutputs:
    """One forward pass, and one backward pass for the saliency maps if the scan has labels.

    Raises:
        CheckpointError: the weights cannot be read.
        DataError: the stages of the network do not halve the grid.
    """
    model: PointTransformerV3 = load_checkpoint(network.checkpoint).eval()
    batch = view.batch
    labelled = batch.label is not None and bool((batch.label != IGNORE).any())
    with torch.set_grad_enabled(labelled):
        logits, taps = model(batch, taps=True)
    gradients = []
    if labelled:
        assert batch.label is not None
        loss = SegmentationLoss()(logits, batch.label) * (batch.label != IGNORE).sum()
        gradients = feature_gradients(loss, [tap.feat for tap in taps], keep_graph=False)
    features, saliency = [], []
    for index, tap in enumerate(taps):
        order = _order(tap.grid_coord.numpy(), view.stage(index).keys)
        features.append(tap.feat.detach().float().numpy()[order])
        if gradients:
            salient = saliency_map(tap.feat.detach().float(), gradients[index], tap.offsets)
            saliency.append(salient.numpy()[order])
    return ScanOutputs(features, saliency, logits.detach().argmax(dim=1).numpy()[view.of_point].astype(np.int64))


def _order(grid: ndarray, keys: ndarray) -> Int64[ndarray, " n"]:
    """Rows of `grid` in the order of `keys`, which are sorted."""
    order = np.lexsort((grid[:, 2], grid[:, 1], grid[:, 0]))
    if grid.shape != keys.shape or not np.array_equal(grid[order], keys):
        raise DataError(
            "the stages of this network do not halve the voxel grid: choose a network that `topokd train` made"
        )
    return order


def colourings(view: View, looks: dict[str, ScanOutputs]) -> list[dict[str, object]]:
    """How the points of a scan can be coloured: classes, predictions, errors, saliency per stage, height.

    Args:
        view: the scan.
        looks: by the network's label.

    Returns:
        Each with `name`, `kind` ("class", "error" or "value") and a byte per point: the class + 1 (0: none); for an
        error 0 unlabelled, 1 right, 2 wrong; for a value 0 to 255.
    """
    scan = view.scan
    colourings: list[dict[str, object]] = []

    def add(name: str, kind: str, values: ndarray) -> None:
        colourings.append({"name": name, "kind": kind, "values": values.astype(np.uint8)})

    if scan.label is not None:
        add("ground truth", "class", scan.label + 1)
    for label, look in looks.items():
        add(f"prediction of {label}", "class", look.prediction + 1)
        if scan.label is not None:
            wrong = np.where(scan.label == IGNORE, 0, 1 + (look.prediction != scan.label))
            add(f"errors of {label}", "error", wrong)
    for label, look in looks.items():
        for index, saliency in enumerate(look.saliency):
            of_point = saliency[view.stage(index).of_voxel][view.of_point]
            add(f"saliency of {label}, stage {index}", "value", np.round(255 * of_point))
    add("height", "value", height_bytes(scan.xyz))
    add("intensity", "value", np.round(255 * scan.intensity))
    return colourings


def height_bytes(xyz: Float[ndarray, "p 3"]) -> UInt8[ndarray, " p"]:
    """z of each point from 0 (1st percentile and below) to 255 (99th percentile and above)."""
    height = xyz[:, 2].astype(np.float64)
    low, high = np.percentile(height, [1, 99])
    return np.clip(255 * (height - low) / max(high - low, 1e-9), 0, 255).astype(np.uint8)
