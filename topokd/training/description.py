"""Metadata of a checkpoint about the training of its network."""

from __future__ import annotations

import numpy as np

from topokd.data import Scans
from topokd.data.profile import ScanProfile
from topokd.label_maps import WrittenLabels
from topokd.models.metadata import Description

DESCRIBED_SCANS = 32
"""Number of training scans, evenly spaced, on which the statistics in a checkpoint are measured."""


def checkpoint_metadata(
    scans: Scans,
    class_names: tuple[str, ...],
    *,
    preset: str,
    dataset: str,
    voxel_size: float,
    sweeps: int,
    intensity: bool,
    run: str,
    written: WrittenLabels | None = None,
) -> dict[str, str]:
    """The metadata of a checkpoint, for `topokd predict`, `export` and `adapt`.

    Args:
        scans: training scans; up to `DESCRIBED_SCANS` of them are measured (`ScanProfile`).
        class_names: names of the classes, in the order of the network's outputs.
        preset: preset of the network.
        dataset: its name.
        voxel_size: Metres.
        sweeps: scans that the network gets at a time.
        intensity: whether it was trained with intensities.
        run: name of the run.
        written: ids and colours in label files, for a data set with a label map.
    """
    spread = np.linspace(0, len(scans) - 1, min(DESCRIBED_SCANS, len(scans))).round().astype(int)
    described = Description(
        preset=preset,
        class_names=class_names,
        dataset=dataset,
        voxel_size=voxel_size,
        sweeps=sweeps,
        intensity=intensity,
        scans=ScanProfile.of(scans[int(index)] for index in np.unique(spread)).to_json(),
        run=run,
    )
    return described.strings() | ({} if written is None else written.metadata())
