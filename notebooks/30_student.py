# %% [markdown]
# # A student
# A network of a small fraction of the teacher's size, trained by one row of the ablation of Eq. 8: `plain` (no
# teacher), `kd`, `kd_topo`, `kd_grad` or `full`. All rows of a seed start from the same weights and see the same
# batches.

# %% tags=["parameters"]
params_file = "results/default/params.yaml"  # resolved parameters of the profile
variant = "full"
seed = 0

# %%
from IPython.display import Markdown, display

from topokd import params as P
from topokd.training import train_student
from topokd.viz import training as view

params = P.load(params_file)

# %% [markdown]
# ## Training
# $L = L_{seg} + \lambda_{topo} L_{topo} + \lambda_{grad} L_{grad} + \lambda_{kd} L_{kd}$ (Eq. 8), with those terms that
# the row has.

# %%
record = train_student(params, variant, seed)

# %%
figure = view.history_figure(record)
# %% [markdown]
# *Left: the terms before their weights, averaged between the points drawn. Middle: the learning rate outside the
# attention blocks. Right: mIoU on a few scans of the validation split.*

# %% [markdown]
# ## On the whole validation split
# IoU per class over the original points.

# %%
view.class_table(record)

# %%
display(Markdown(view.conclusion(record)))
