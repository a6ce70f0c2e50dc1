# %% [markdown]
# # Teacher
# A Point Transformer V3 trained on the labels alone (cross-entropy; AdamW under one cycle). It then teaches
# the students. An interrupted run resumes when this notebook runs again.

# %% tags=["parameters"]
params_file = "results/default/params.yaml"  # resolved parameters of the profile
save = False  # True: write into results/ and figures/, as the pipeline does; False: into workspace/by-hand/
seed = 0

# %%
from IPython.display import Markdown, display

from topokd import params as P
from topokd.training import train_teacher
from topokd.viz import training as view
from topokd.viz.style import save_figure

params = P.load(params_file, save=save)

# %% [markdown]
# ## Training
# Weights go to `workspace/<profile>/checkpoints`, live curves to `workspace/<profile>/live`.

# %%
record = train_teacher(params, seed)

# %%
figure = view.history_figure(record)
save_figure(figure, params.figures / "training" / record["run"])

# %% [markdown]
# *Left: loss, averaged between the points shown. Middle: learning rate outside the attention blocks. Right: mIoU on a
# few scans of the validation split.*

# %% [markdown]
# ## IoU per class on the whole validation split
# Computed over the original points.

# %%
view.class_table(record)

# %%
display(Markdown(view.conclusion(record)))
