# %% [markdown]
# # Student
# A network of a small fraction of the teacher's size, trained with the loss terms of one row of the ablation (`rows` in
# params.yaml). All rows of a seed start from the same weights and see the same batches.

# %% tags=["parameters"]
params_file = "results/default/params.yaml"  # resolved parameters of the profile
save = False  # True: write into results/ and figures/, as the pipeline does; False: into workspace/by-hand/
row = "full"
seed = 0

# %%
from IPython.display import Markdown, display

from topokd import params as P
from topokd.training import train_student
from topokd.viz import training as view

params = P.load(params_file, save=save)

# %% [markdown]
# ## Training
# $L = L_{seg} + \sum_k \lambda_k L_k$ over the terms $k$ of the row (Eq. 8: topo, grad, kd).

# %%
record = train_student(params, row, seed)

# %%
figure = view.history_figure(record)

# %% [markdown]
# *Left: loss terms before their weights, averaged between the points shown. Middle: learning rate outside the attention
# blocks. Right: mIoU on a few scans of the validation split.*

# %% [markdown]
# ## IoU per class on the whole validation split
# Computed over the original points.

# %%
view.class_table(record)

# %%
display(Markdown(view.conclusion(record)))
