"""Figure 3: ground truth and predictions of one scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float32, Int64
from matplotlib.lines import Line2D
from numpy import ndarray

from topokd.data import IGNORE
from topokd.viz.clouds import RGB, plot_cloud
from topokd.viz.style import use_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RIGHT, WRONG = (0.30, 0.34, 0.40), (1.0, 0.32, 0.28)


def segmentation_figure(
    xyz: Float32[ndarray, "n 3"],
    truth: Int64[ndarray, " n"],
    predictions: Mapping[str, Int64[ndarray, " n"]],
    class_names: Sequence[str],
    palette: RGB,
    reach: float = 25.0,
) -> Figure:
    """Ground truth and each prediction from above (within ``reach`` metres) and in perspective; below, the errors.

    Points labelled IGNORE are left out.

    Args:
        xyz: (n, 3) metres.
        truth: (n,) classes.
        predictions: by title, (n,) classes.
        class_names: class names of the data set.
        palette: RGB 0..255 of each class.
        reach: Metres.
    """
    use_style()
    counted = truth != IGNORE
    xyz, truth = xyz[counted], truth[counted]
    predictions = {name: values[counted] for name, values in predictions.items()}
    views = {"Ground truth": truth, **predictions}
    columns = len(views)
    figure, grid = plt.subplots(3, columns, figsize=(3.1 * columns, 7.6), height_ratios=(1, 0.56, 1), squeeze=False)
    for column, (name, values) in enumerate(views.items()):
        plot_cloud(grid[0, column], xyz, values, palette, reach=reach, size=1.6)
        grid[0, column].set_title(name, fontsize=10.5)
        plot_cloud(grid[1, column], xyz, values, palette, view="perspective", size=1.4)
        if column:
            wrong = values != truth
            plot_cloud(grid[2, column], xyz, np.where(wrong[:, None], WRONG, RIGHT), reach=reach, size=1.6)
            grid[2, column].set_title(f"{100 * wrong.mean():.1f} % of the points wrong (red)", fontsize=10)
    for axes in grid.flat:
        axes.set_anchor("N")
    held = [c for c in range(len(class_names)) if any((values == c).any() for values in views.values())]
    colors = [(r / 255, g / 255, b / 255) for r, g, b in palette]
    dots = [Line2D([], [], marker="o", linestyle="", markersize=6, color=colors[c], label=class_names[c]) for c in held]
    grid[2, 0].axis("off")
    grid[2, 0].legend(handles=dots, loc="center", fontsize=9.5, ncols=1 if len(dots) <= 10 else 2, handletextpad=0.1)
    return figure


def overview_figure(
    xyz: Float32[ndarray, "n 3"],
    truth: Int64[ndarray, " n"],
    predictions: Mapping[str, Int64[ndarray, " n"]],
    palette: RGB,
) -> Figure:
    """Ground truth and each prediction of one scan in perspective, one below the other: a small Figure 3.

    Points labelled IGNORE are left out.

    Args:
        xyz: (n, 3) metres.
        truth: (n,) classes.
        predictions: by title, (n,) classes.
        palette: RGB 0..255 of each class.
    """
    use_style()
    counted = truth != IGNORE
    views = {"Ground truth": truth, **predictions}
    figure, grid = plt.subplots(len(views), 1, figsize=(3.6, 2.3 * len(views)), squeeze=False)
    for axes, (name, values) in zip(grid[:, 0], views.items(), strict=True):
        plot_cloud(axes, xyz[counted], values[counted], palette, view="perspective", size=1.5)
        wrong = 100 * (values != truth)[counted].mean()
        axes.set_title(
            name if values is truth else f"{name}:\n{wrong:.0f} % of the points wrong", fontsize=11, loc="left"
        )
    return figure
