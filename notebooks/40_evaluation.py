# %% [markdown]
# # Evaluation
# Accuracy of the trained networks: IoU per class over all seeds, predictions on one scan (Figure 3), confusion matrix,
# accuracy by range and distance to boundaries, test-time augmentation. Predictions are per original point, one scan at
# a time.

# %% tags=["parameters"]
params_file = "results/default/params.yaml"  # resolved parameters of the profile
save = False  # True: write into results/ and figures/, as the pipeline does; False: into workspace/by-hand/
tta_views = 4  # rotations averaged in the comparison at the end
tta_scans = 2  # validation scans used for it

# %%
import os

from IPython.display import Markdown, display

from topokd import params as P
from topokd.evaluation import evaluate, predict
from topokd.evaluation.breakdown import break_down
from topokd.io import write_json
from topokd.models import load_checkpoint
from topokd.paper import evaluation_summary as summary
from topokd.paper.figures import class_figure
from topokd.paper.results import TEACHER, Results
from topokd.scans import open_dataset
from topokd.training import run_of
from topokd.viz.evaluation import breakdown_figure, confusion_figure
from topokd.viz.export import write_views
from topokd.viz.segmentation import overview_figure, segmentation_figure
from topokd.viz.style import save_figure

params = P.load(params_file, save=save)
results = Results.read(params.results).require_runs()
seed = params.seeds[0]
figures = params.figures / "evaluation"

# %% [markdown]
# ## Scores of all networks
# mIoU in both conventions for classes absent from truth and prediction, and the share of correctly classified points:
# mean and half-width of the 95 % interval over seeds, in percent.

# %%
summary.score_frame(results)

# %% [markdown]
# ## IoU per class
# In percent, mean over seeds; a dash if the class is absent from the validation scans.

# %%
summary.class_frame(results)

# %%
figure = class_figure(results)
save_figure(figure, figures / "classes")

# %% [markdown]
# *Mean over seeds, most frequent class first; right: share of the labelled validation points.*

# %% [markdown]
# ## Official scores of the benchmark
# Output of the benchmark's tool for the same predictions, in percent, mean over seeds, with its convention for absent
# classes and for labelled points without a predicted class, and its order of classes.

# %%
official = summary.official_frame(results)
display(official if len(official) else Markdown("The synthetic world does not have an official benchmark."))

# %% [markdown]
# ## Figure 3: one scan, four views
# The networks of the first seed and its teacher on one validation scan.

# %%
dataset = open_dataset(params.data, params.data_root, "val")
scan = dataset[params.evaluation.figure_scan % len(dataset)]
runs = {name: run_of(name, seed, params) for name in (TEACHER, *reversed(params.panels.rows))}
shown = [name for name, run in runs.items() if run.seed in results.runs.get(name, {})]
models = {name: load_checkpoint(runs[name].checkpoint) for name in shown}
views = {
    results.labels[name]: predict(model, scan, params.data.voxel_size, params.evaluation.tta)
    for name, model in models.items()
}

# %%
figure = segmentation_figure(scan.xyz, scan.label, views, dataset.class_names, dataset.palette)
save_figure(figure, figures / "figure3")

# %% [markdown]
# *Top: from above, 50 m across; middle: from behind the sensor; bottom: errors against the ground truth in red.
# Unlabelled points are left out.*

# %% [markdown]
# The same scan in perspective, for the first page of the report.

# %%
chosen = results.labels[shown[1] if len(shown) > 1 else shown[0]]
figure = overview_figure(scan.xyz, scan.label, {chosen: views[chosen]}, dataset.palette)
save_figure(figure, figures / "overview")

# %% [markdown]
# An interactive 3D view of the same scan, with the predictions and errors of every network shown, is written to
# `workspace/<profile>/segmentation.html`.

# %%
labels = {"Ground truth": scan.label, **views}
write_views(
    params.workspace / "segmentation.html",
    scan.xyz,
    labels,
    dataset.class_names,
    dataset.palette,
    f"{scan.name}: segmentation",
    max_points=30_000,
)

# %% [markdown]
# ## Confusion matrix
# The networks of the first seed on all validation scans.

# %%
cores = len(os.sched_getaffinity(0))
parts = break_down(models, dataset, params.data.voxel_size, params.evaluation.tta, jobs=cores)
matrices = {results.labels[name]: parts[name].total.matrix for name in shown[:2]}
missed = {results.labels[name]: part.total.missed for name, part in parts.items()}
figure = confusion_figure(matrices, missed, dataset.class_names)
save_figure(figure, figures / "confusion")

# %% [markdown]
# *Share of the points of each true class (row) predicted as each class (column), in percent.*

# %% [markdown]
# ## Accuracy by range and distance to boundaries
# mIoU over the classes present in each part: by range, by distance to the nearest point of another true class (boundary
# IoU counts the points nearer than 0.2 m), and over frequent, medium and rare classes.

# %%
breakdown = {name: part.record() for name, part in parts.items()}
figure = breakdown_figure(breakdown, results.looks)
save_figure(figure, figures / "breakdown")

# %%
display(Markdown(summary.boundary_sentence(breakdown, results.labels)))

# %% [markdown]
# ## Test-time augmentation
# Some published scores use it and others do not, so it is off by default; this is its effect on these networks.

# %%
tta = {
    name: {
        views: evaluate(model, dataset, params.data.voxel_size, views, scans=tta_scans).miou(params.evaluation.absent)
        for views in (1, tta_views)
    }
    for name, model in models.items()
}
display(Markdown(summary.tta_sentence(tta, tta_scans, results.labels)))

# %%
write_json(params.results / "evaluation.json", summary.summary_record(results, tta, breakdown))
