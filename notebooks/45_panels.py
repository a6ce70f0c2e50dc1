# %% [markdown]
# # nuScenes and Waymo: the measured panels of Tables 1 and 4
# The embedded synthetic world, written in the file layout of a benchmark (nuScenes: JSON tables, 32 beams; Waymo:
# parquet components, range images of two returns) and read by the reader for the real data. A small teacher and the
# students of `panels.rows` are trained on it, one seed. This only shows that the pipeline works end to end; the numbers
# do not say anything about the real data sets.

# %% tags=["parameters"]
params_file = "results/default/params.yaml"  # resolved parameters of the profile
save = False  # True: write into results/ and figures/, as the pipeline does; False: into workspace/by-hand/
dataset = "nuscenes"  # or waymo

# %%
from IPython.display import Markdown, display

from topokd import params as P
from topokd.experiments import panels
from topokd.scans import open_dataset

params = P.load(params_file, save=save)
panel = panels.panel_params(params, dataset)

# %% [markdown]
# ## The synthetic world in this layout

# %%
splits = {split: open_dataset(panel.data, panel.data_root, split) for split in ("train", "val")}
panels.sizes_table(splits)

# %% [markdown]
# ## Teacher and students

# %%
records = panels.measure_panel(params, dataset)
panels.scores_table(records, panel.evaluation.absent)

# %%
display(Markdown(panels.gain_sentence(records, panel)))
