# %% [markdown]
# # Scans
#
# Where the scans of this profile come from, what they consist of, and what a network sees of them. The embedded
# synthetic world is generated here; real scans are only read. Its class frequencies and ranges are shown beside those
# of real SemanticKITTI scans.

# %% tags=["parameters"]
params_file = "results/default/params.yaml"  # resolved parameters of the profile

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from topokd import data
from topokd import params as P
from topokd.datasets.fingerprint import fingerprint
from topokd.datasets.statistics import real_statistics, statistics
from topokd.io import write_json
from topokd.scans import open_dataset, write_world
from topokd.viz import clouds
from topokd.viz.style import save_figure, use_style

use_style()
params = P.load(params_file)
settings = params.data

# %% [markdown]
# ## Scans on disk
# The synthetic world is written in a real data set's own layout, so that one reader serves both.

# %%
if settings.dataset == "synthetic":
    write_world(settings, params.data_root)
else:  # real scans stay where they are; their fingerprint tells the later stages when they are others
    write_json(params.workspace / "data" / "index.json", fingerprint(params.data_root))
train = open_dataset(settings, params.data_root, "train")
val = open_dataset(settings, params.data_root, "val")
found = {"train": statistics(train), "val": statistics(val)}
pd.DataFrame(
    {
        split: {
            "sequences": ", ".join(names) if len(names := dataset.sequences) < 30 else f"{len(names)} of them",
            "scans": found[split]["scans"],
            "skipped scans": len(dataset.skipped),
            "points per scan": round(found[split]["points_per_scan"]["mean"]),
            "points without a class (%)": round(100 * found[split]["ignored_fraction"], 2),
            "farthest point (m)": round(found[split]["range_max"], 1),
        }
        for split, dataset in (("train", train), ("val", val))
    }
)

# %% [markdown]
# ## What they consist of
# Left: share of the labelled points per class, logarithmic. Right: share of all points per 2 m of distance to the
# sensor. The synthetic world is shown beside 34 real scans (aggregate numbers that are part of the package); of real
# data, the training split is shown beside the validation split.

# %%
if settings.dataset == "synthetic" and settings.layout == "semantickitti":
    other, titles = real_statistics()["statistics"], ("synthetic, train", "real SemanticKITTI, 34 scans")
else:
    other, titles = found["val"], ("train", "val")
figure = clouds.plot_statistics(found["train"], other, titles)
save_figure(figure, params.figures / "data_statistics")
plt.show()

# %%
rows = {
    name: {
        f"{titles[0]} (%)": 100 * found["train"]["class_frequency"][name],
        f"{titles[1]} (%)": 100 * other["class_frequency"][name],
        f"scans that show it, of {len(train)} train": found["train"]["class_scans"][name],
        f"scans that show it, of {len(val)} val": found["val"]["class_scans"][name],
    }
    for name in train.class_names
}
pd.DataFrame(rows).T.round(3)


# %%
def median_range(one):
    """Distance to the sensor that half of the points are nearer than, interpolated in the histogram."""
    return np.interp(0.5, np.cumsum([0, *one["range_histogram"]]), one["range_edges"])


ours = np.array([found["train"]["class_frequency"][name] for name in train.class_names])
theirs = np.array([other["class_frequency"][name] for name in train.class_names])
common = theirs > 0.005
ratio = ours[common] / theirs[common]
absent = [name for name in val.class_names if found["val"]["class_points"][name] == 0]
display(
    Markdown(
        f"Of the {common.sum()} classes with more than 0.5 % of the points of *{titles[1]}*, "
        f"{((ratio > 0.5) & (ratio < 2)).sum()} are within a factor of two in *{titles[0]}*; the two distributions "
        f"share {100 * np.minimum(ours, theirs).sum():.0f} % of their mass. Half of the points are nearer than "
        f"{median_range(found['train']):.0f} m, against {median_range(other):.0f} m. "
        + (
            f"Not in the validation split: {', '.join(absent)}."
            if absent
            else "The validation split shows every class."
        )
    )
)

# %% [markdown]
# ## One scan
# Classes and intensity, from above and from behind the sensor.

# %%
scan = val[min(params.evaluation.figure_scan, len(val) - 1)]
grey = plt.get_cmap("inferno")(np.clip(scan.intensity / 0.7, 0, 1))[:, :3]
figure, axes = plt.subplots(2, 2, figsize=(11, 7.4), width_ratios=(1, 1.9))
for row, (shade, title) in zip(axes, ((scan.label, f"{scan.name}: classes"), (grey, "intensity")), strict=True):
    clouds.plot_cloud(row[0], scan.xyz, shade, val.palette, title=title)
    clouds.plot_cloud(row[1], scan.xyz, shade, val.palette, view="perspective")
present = np.unique(scan.label[scan.label != data.IGNORE]).tolist()
clouds.class_legend(figure, present, val.class_names, val.palette)
save_figure(figure, params.figures / "data_scan")
plt.show()

# %% [markdown]
# The same scan to turn and zoom; a click in the legend hides a class.

# %%
clouds.interactive_cloud(
    scan.xyz, {f"{scan.name}: ground truth": scan.label}, val.class_names, val.palette, max_points=20_000
)

# %% [markdown]
# ## Several scans

# %%
chosen = np.unique(np.linspace(0, len(train) - 1, 6).astype(int))
figure, axes = plt.subplots(2, 3, figsize=(10, 6.8))
for axis, index in zip(axes.flat, chosen, strict=False):
    clouds.plot_cloud(axis, train[index].xyz, train[index].label, train.palette, title=train[index].name)
for axis in axes.flat[len(chosen) :]:
    axis.set_visible(False)
save_figure(figure, params.figures / "data_scans")
plt.show()

# %% [markdown]
# ## What a network sees
# A training sample: the scan rotated, scaled, mirrored, jittered; its voxels; the voxels nearest to a random one.

# %%
rng = np.random.default_rng(0)
augmented = data.augment(scan, settings.augment, rng)
voxels = data.voxelize(augmented, settings.voxel_size)
sample = data.crop(voxels, settings.crop_voxels, rng)
figure, axes = plt.subplots(1, 4, figsize=(13, 3.7))
for axis, xyz, label, title in zip(
    axes,
    (scan.xyz, augmented.xyz, voxels.coord, sample.coord),
    (scan.label, augmented.label, voxels.label, sample.label),
    ("as read", "augmented", f"voxels of {settings.voxel_size:g} m", "crop"),
    strict=True,
):
    clouds.plot_cloud(axis, xyz, label, val.palette, title=f"{title}: {len(xyz):,}", reach=45)
save_figure(figure, params.figures / "data_sample")
plt.show()

# %%
looked_at = range(0, len(val), max(1, len(val) // 6))
counts, purity = [], []
for index in looked_at:
    one = val[index]
    grid = data.voxelize(one, settings.voxel_size)
    counts.append(len(grid))
    kept = one.label != data.IGNORE
    purity.append(float((grid.label[grid.inverse][kept] == one.label[kept]).mean()))
display(
    Markdown(
        f"At {settings.voxel_size:g} m a validation scan has {np.mean(counts):,.0f} voxels on average "
        f"({min(counts):,} to {max(counts):,}). If every voxel were classified right, "
        f"{100 * np.mean(purity):.2f} % of the points would be: that is the ceiling which the grid sets."
    )
)

# %%
record = {
    "profile": params.profile,
    "dataset": settings.dataset,
    "splits": found,
    "skipped": {"train": [name for name, _ in train.skipped], "val": [name for name, _ in val.skipped]},
    "voxel_size": settings.voxel_size,
    "voxels_per_scan": {"mean": float(np.mean(counts)), "min": min(counts), "max": max(counts)},
    "voxel_ceiling_accuracy": float(np.mean(purity)),
}
write_json(params.results / "data.json", record)
