"""Figures of scans: one by class and intensity, several from above, and a training sample step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from topokd.data import IGNORE, Scan, Voxels
from topokd.viz.clouds import RGB, class_legend, plot_cloud
from topokd.viz.style import use_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FULL_INTENSITY = 0.7  # intensities from here on have the brightest colour


def end_of(name: str, most: int = 30) -> str:
    """The end of a long name, for a title above narrow axes: the beginning, folders, says less.

    Examples:
        >>> end_of("08/000000"), end_of("2022-08-09_yard/2022-08-09_yard__0001_16601")
        ('08/000000', '…d/2022-08-09_yard__0001_16601')
    """
    return name if len(name) <= most else f"…{name[1 - most :]}"


def scan_figure(scan: Scan, class_names: Sequence[str], palette: RGB) -> Figure:
    """Classes (top) and intensity (bottom) of a labelled scan, from above and from behind the sensor.

    Args:
        scan: with labels.
        class_names: class names of the data set.
        palette: RGB 0..255 of each class.
    """
    use_style()
    assert scan.label is not None
    heat = plt.get_cmap("inferno")(np.clip(scan.intensity / FULL_INTENSITY, 0, 1))[:, :3]
    figure, axes = plt.subplots(2, 2, figsize=(11, 7.4), width_ratios=(1, 1.9))
    for row, (shade, title) in zip(
        axes, ((scan.label, f"{end_of(scan.name)}: classes"), (heat, "intensity")), strict=True
    ):
        plot_cloud(row[0], scan.xyz, shade, palette, title=title)
        plot_cloud(row[1], scan.xyz, shade, palette, view="perspective")
    present = np.unique(scan.label[scan.label != IGNORE]).tolist()
    class_legend(figure, present, class_names, palette, unlabelled=bool((scan.label == IGNORE).any()))
    plt.close(figure)
    return figure


def scans_figure(scans: Sequence[Scan], palette: RGB) -> Figure:
    """Up to six labelled scans from above."""
    use_style()
    figure, axes = plt.subplots(2, 3, figsize=(10, 6.8))
    for axis, scan in zip(axes.flat, scans, strict=False):
        assert scan.label is not None
        plot_cloud(axis, scan.xyz, scan.label, palette, title=end_of(scan.name))
    for axis in axes.flat[len(scans) :]:
        axis.set_visible(False)
    plt.close(figure)
    return figure


def sample_figure(
    scan: Scan, augmented: Scan, voxels: Voxels, sample: Voxels, voxel_size: float, palette: RGB
) -> Figure:
    """A training sample: the scan, augmented, in voxels of ``voxel_size`` metres, and cropped.

    Args:
        scan: as read, with labels.
        augmented: the same after augmentation.
        voxels: voxels of the augmented scan.
        sample: the crop of them.
        voxel_size: Metres.
        palette: RGB 0..255 of each class.
    """
    use_style()
    steps = {
        "as read": (scan.xyz, scan.label),
        "augmented": (augmented.xyz, augmented.label),
        f"voxels of {voxel_size:g} m": (voxels.coord, voxels.label),
        "crop": (sample.coord, sample.label),
    }
    figure, axes = plt.subplots(1, len(steps), figsize=(13, 3.7))
    for axis, (title, (xyz, label)) in zip(axes, steps.items(), strict=True):
        assert label is not None
        plot_cloud(axis, xyz, label, palette, title=f"{title}: {len(xyz):,}", reach=45)
    plt.close(figure)
    return figure
