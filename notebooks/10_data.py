# %% [markdown]
# # Scans
#
# Scans of this profile, their statistics, and the input of a network. The embedded synthetic world is generated here;
# real scans are only read. The class frequencies and ranges of the synthetic world are compared with those of real
# SemanticKITTI scans.

# %% tags=["parameters"]
params_file = "results/default/params.yaml"  # resolved parameters of the profile
save = False  # True: write into results/ and figures/, as the pipeline does; False: into workspace/by-hand/

# %%
import numpy as np
from IPython.display import Markdown, display

from topokd import params as P
from topokd.data import augment, crop, voxelize
from topokd.datasets.fingerprint import fingerprint
from topokd.datasets.semantickitti.real_statistics import real_statistics
from topokd.datasets.statistics import statistics
from topokd.experiments import scan_statistics as view
from topokd.io import write_json
from topokd.scans import label_map_of, open_dataset, write_world
from topokd.viz import clouds, scans
from topokd.viz.style import save_figure

params = P.load(params_file, save=save)
settings = params.data
figures = params.figures / "data"

# %% [markdown]
# ## Scans on disk
# The synthetic world is written in the file layout of a real data set, so that one reader serves both.

# %%
if settings.dataset == "synthetic":
    write_world(settings, params.data_root)
else:  # real scans stay where they are; a changed fingerprint makes the later stages run again
    index = fingerprint(params.data_root, whole=label_map_of(settings) is not None)
    write_json(params.workspace / "data" / "index.json", index)
train, val = (open_dataset(settings, params.data_root, split) for split in ("train", "val"))
splits = {"train": statistics(train), "val": statistics(val)}
view.sizes_table({"train": train, "val": val}, splits)

# %% [markdown]
# ## Class and range statistics
# Left: share of the labelled points per class, logarithmic. Right: share of all points per 2 m of distance to the
# sensor. The synthetic world is compared with 34 real scans (aggregate numbers that are part of the package); real
# training scans are compared with the validation split.

# %%
if settings.dataset == "synthetic" and settings.layout == "semantickitti":
    other = real_statistics()["statistics"]
    titles = ("synthetic, train", "real SemanticKITTI, 34 scans")
else:
    other, titles = splits["val"], ("train", "val")
figure = clouds.plot_statistics(splits["train"], other, titles)
save_figure(figure, figures / "data_statistics")
figure

# %%
view.class_table(splits, other, titles)

# %%
display(Markdown(view.comparison_sentence(splits, other, titles)))

# %% [markdown]
# ## One scan
# Classes and intensity, from above and from behind the sensor.

# %%
scan = val[min(params.evaluation.figure_scan, len(val) - 1)]
figure = scans.scan_figure(scan, val.class_names, val.palette)
save_figure(figure, figures / "data_scan")
figure

# %% [markdown]
# The same scan in 3D: drag to turn, scroll to zoom, click in the legend to hide a class.

# %%
labels = {f"{scan.name}: ground truth": scan.label}
clouds.interactive_cloud(scan.xyz, labels, val.class_names, val.palette, max_points=20_000)

# %% [markdown]
# ## Several scans

# %%
chosen = np.unique(np.linspace(0, len(train) - 1, 6).astype(int))
figure = scans.scans_figure([train[index] for index in chosen], train.palette)
save_figure(figure, figures / "data_scans")
figure

# %% [markdown]
# ## From a scan to the input of a network
# A training sample: a training scan rotated, scaled, mirrored and jittered; its voxels; the voxels nearest to a random
# one.

# %%
rng = np.random.default_rng(0)
whole = train[0]
augmented = augment(whole, settings.augment, rng)
voxels = voxelize(augmented, settings.voxel_size)
sample = crop(voxels, settings.crop_voxels, rng)
figure = scans.sample_figure(whole, augmented, voxels, sample, settings.voxel_size, train.palette)
save_figure(figure, figures / "data_sample")
figure

# %%
grid = view.voxel_statistics(val, settings.voxel_size)
display(Markdown(view.voxel_sentence(grid)))

# %%
record = {
    "profile": params.profile,
    "dataset": settings.dataset,
    "splits": splits,
    "skipped": {"train": [name for name, _ in train.skipped], "val": [name for name, _ in val.skipped]},
    **grid,
}
write_json(params.results / "data.json", record)
