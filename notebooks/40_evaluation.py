# %% [markdown]
# # Evaluation
# What the trained networks get right: IoU per class over all seeds, one scan seen by teacher and students (Figure 3),
# and what averaging over rotations would add. Predictions are per original point, one scan at a time.

# %% tags=["parameters"]
params_file = "results/default/params.yaml"  # resolved parameters of the profile
tta_views = 4  # rotations averaged in the comparison at the end
tta_scans = 2  # validation scans used for it

# %%
from IPython.display import Markdown, display

from topokd import params as P
from topokd.evaluation import evaluate, predict
from topokd.evaluation.breakdown import break_down
from topokd.io import write_json, write_text
from topokd.models import load_checkpoint
from topokd.paper.evaluation_summary import (
    boundary_sentence,
    class_frame,
    official_frame,
    score_frame,
    summary_record,
    tta_sentence,
)
from topokd.paper.figures import class_figure
from topokd.paper.results import NAMES, Results
from topokd.scans import open_dataset
from topokd.viz.clouds import interactive_cloud
from topokd.viz.evaluation import breakdown_figure, confusion_figure
from topokd.viz.segmentation import segmentation_figure
from topokd.viz.style import save_figure

params = P.load(params_file)
results = Results.read(params.results).require_runs()
seed = params.seeds[0]

# %% [markdown]
# ## All runs
# mIoU in both conventions for classes that neither truth nor prediction holds, and the share of points that are right:
# mean and half-width of the 95 % interval over seeds, in percent.

# %%
score_frame(results)

# %% [markdown]
# ## Per class
# IoU in percent, mean over seeds; a dash where the validation scans do not hold the class.

# %%
class_frame(results)

# %%
figure = class_figure(results)
save_figure(figure, params.figures / "classes")

# %% [markdown]
# *Mean over seeds, most frequent class first; right: share of the labelled validation points.*

# %% [markdown]
# ## The benchmark's own numbers
# What its tool prints for the same predictions, in percent, mean over seeds: its convention for absent classes and for
# labelled points without a predicted class, its order.

# %%
official = official_frame(results)
display(official if len(official) else Markdown("The synthetic world has no benchmark of its own."))

# %% [markdown]
# ## Figure 3: one scan, four views
# The networks of the first seed on one validation scan.

# %%
dataset = open_dataset(params.data, params.data_root, "val")
scan = dataset[params.evaluation.figure_scan % len(dataset)]
shown = [variant for variant in ("teacher", "full", "plain") if seed in results.runs.get(variant, {})]
models = {v: load_checkpoint(params.workspace / "checkpoints" / f"{v}-seed{seed}.safetensors") for v in shown}
views = {NAMES[v]: predict(model, scan, params.data.voxel_size, params.evaluation.tta) for v, model in models.items()}

# %%
figure = segmentation_figure(scan.xyz, scan.label, views, dataset.class_names, dataset.palette)
save_figure(figure, params.figures / "figure3")

# %% [markdown]
# *Above: 50 m across, seen from the sky; middle: from behind the sensor; below: red points differ from the ground
# truth. Unlabelled points are left out.*

# %% [markdown]
# The same scan in 3D, to turn and zoom, is written to `workspace/<profile>/segmentation.html`.

# %%
labels = {"Ground truth": scan.label, **dict(list(views.items())[:2])}
interactive = interactive_cloud(scan.xyz, labels, dataset.class_names, dataset.palette)
page = interactive.to_html(include_plotlyjs=True, div_id="segmentation")
write_text(params.workspace / "segmentation.html", page)

# %% [markdown]
# ## Which classes are taken for which
# The networks of the first seed on all validation scans, counted once more by where the points are.

# %%
parts = {v: break_down(model, dataset, params.data.voxel_size, params.evaluation.tta) for v, model in models.items()}
matrices = {NAMES[v]: part.total.matrix for v, part in parts.items() if v != "plain"}
missed = {NAMES[v]: part.total.missed for v, part in parts.items()}
figure = confusion_figure(matrices, missed, dataset.class_names)
save_figure(figure, params.figures / "confusion")

# %% [markdown]
# *Of the points of each true class (row) the share that was given each class (column), in percent.*

# %% [markdown]
# ## Where they are right
# mIoU over the classes that each part holds: by range, by distance to the nearest point of another true class (boundary
# IoU counts the points nearer than 0.2 m), and over frequent, medium and rare classes.

# %%
breakdown = {v: part.record() for v, part in parts.items()}
figure = breakdown_figure(breakdown, NAMES)
save_figure(figure, params.figures / "breakdown")

# %%
display(Markdown(boundary_sentence(breakdown)))

# %% [markdown]
# ## Test-time augmentation
# Published protocols differ in this by two points of mIoU and more, so it is off unless the profile says so.

# %%
tta = {
    variant: {
        views: evaluate(model, dataset, params.data.voxel_size, views, scans=tta_scans).miou(params.evaluation.absent)
        for views in (1, tta_views)
    }
    for variant, model in models.items()
}
display(Markdown(tta_sentence(tta, tta_scans)))

# %%
write_json(params.results / "evaluation.json", summary_record(results, tta, breakdown))
