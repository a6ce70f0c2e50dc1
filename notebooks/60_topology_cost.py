# %% [markdown]
# # Cost of the topological loss
#
# Table 8 (naive baseline against ours), Figure 5 (sampling) and Figure 6 ($H_1$ against $H_2$). Times are medians on
# the CPU of this machine after a warm-up; they differ from run to run and are kept in `timings/topology_cost.json`.

# %% tags=["parameters"]
params_file = "results/default/params.yaml"  # resolved parameters of the profile
save = False  # True: write into results/ and figures/, as the pipeline does; False: into workspace/by-hand/
seed = 0

# %%
import torch
from IPython.display import Markdown, display

from topokd import params as P
from topokd.experiments.topology_cost import cost_sentence, cost_table, measure_topology_cost
from topokd.io import write_json
from topokd.viz import topology as view
from topokd.viz.style import save_figure

params = P.load(params_file, save=save)
figures = params.figures / "topology_cost"
torch.set_num_threads(params.train.threads)
cost = measure_topology_cost(params.benchmark, seed)
write_json(params.results / "timings" / "topology_cost.json", cost)

# %% [markdown]
# ## Table 8
# Features to diagrams (degrees 0 and 1) to loss, and gradients back to the features. The naive baseline reduces the
# whole boundary matrix in plain torch. `giotto-ph` is the same layer with that engine. Peak memory is measured in a
# separate process per column.

# %%
cost_table(cost)  # a dash: too slow, not run

# %%
display(Markdown(cost_sentence(cost)))

# %% [markdown]
# ## Figure 5: cost of sampling
# Farthest point sampling of 128 points grows linearly with the cloud; the time of random sampling hardly changes.

# %%
figure = view.sampling_figure(cost["sampling"])
save_figure(figure, figures / "figure5")
figure

# %% [markdown]
# ## Figure 6: cost of $H_2$
# The engine that computes degree 2 for the loss, up to degree 1 and up to degree 2, on uniform points in space.

# %%
figure = view.homology_cost_figure(cost["homology"], cost["homology_engine"])
save_figure(figure, figures / "figure6")
figure

# %%
last = cost["homology"][-1]
display(Markdown(f"At N = {last['points']}, $H_2$ costs {last['h2_s'] / last['h1_s']:.0f} times $H_1$."))
