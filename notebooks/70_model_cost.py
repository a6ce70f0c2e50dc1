# %% [markdown]
# # Cost of teacher and student
#
# The measured side of Table 3 (size and speed), Table 5 (architecture, operations, latency), Table 6 (time and memory
# by operation) and Figure 1 b-d (growth with the number of tokens). Weights are random: cost does not depend on them.
# Two files are written: exact costs (`model_cost.json`) and times on this machine (`timings/model_cost.json`, which
# differ from run to run).

# %% tags=["parameters"]
params_file = "results/default/params.yaml"  # resolved parameters of the profile
save = False  # True: write into results/ and figures/, as the pipeline does; False: into workspace/by-hand/

# %%
import torch
from IPython.display import Markdown, display

from topokd import params as P
from topokd.data import voxelize
from topokd.experiments.model_cost import (
    PAPER_VOXEL_SIZE,
    cost_sentence,
    count_cost,
    flops_table,
    measure_cost,
    parameters_table,
    tile_along_x,
    timing_sentence,
)
from topokd.io import write_json
from topokd.models import build_model
from topokd.paper import reported
from topokd.scans import open_dataset
from topokd.viz.cost import plot_scaling
from topokd.viz.style import save_figure
from topokd.viz.tables import full_table

params = P.load(params_file, save=save)
bench = params.benchmark
torch.set_num_threads(params.train.threads)
device = "cuda" if torch.cuda.is_available() else "cpu"

# %% [markdown]
# The networks, and a validation scan in voxels of the paper's 0.05 m (C.3). A cloud of n tokens is the n voxels nearest
# to the sensor; if a scan has fewer voxels, several scans are put side by side.

# %%
dataset = open_dataset(params.data, params.data_root, "val")
scan = dataset[0]
voxels = voxelize(scan, PAPER_VOXEL_SIZE)
large = tile_along_x((voxelize(dataset[i], PAPER_VOXEL_SIZE) for i in range(len(dataset))), max(bench.model_tokens))
presets = ("ptv3-teacher", "ptv3-student") if bench.paper_models else (params.model.teacher, params.model.student)
torch.manual_seed(0)
models = {
    role: build_model(preset, in_channels=4, num_classes=dataset.num_classes)
    for role, preset in zip(("teacher", "student"), presets, strict=True)
}

# %%
cost = count_cost(models, voxels, bench.model_tokens, PAPER_VOXEL_SIZE, large, device)
write_json(params.results / "model_cost.json", cost)

# %% [markdown]
# ## Parameters by module

# %%
full_table(parameters_table(cost), "parameters")

# %% [markdown]
# ## Parameters and operations
# On the whole scan. Table 5 does not state its number of tokens, so only ratios can be compared (row 16 of
# docs/paper_notes.md). The paper's encoder and decoder leave out the two products inside attention, which grow with the
# number of channels and not with its square; its "attention compute" has the ratio of the linear layers around
# attention (q, k, v and output).
# The decoder's ratio depends on the scan: the teacher's coarsest decoder stage costs eight times the student's, the
# finer ones twice, so it grows with the share of voxels on the coarse grids. `benchmarks/models.md` lists it for scans
# of several sensors.

# %%
full_table(flops_table(cost, reported.flop_ratios()), "flops")

# %%
display(Markdown(cost_sentence(cost)))

# %% [markdown]
# ## Time and memory on this machine

# %%
timings = measure_cost(
    models,
    voxels,
    bench.paper_model_tokens,
    bench.model_tokens,
    scan,
    params.data.voxel_size,
    bench.repeats,
    device,
    large,
)
write_json(params.results / "timings" / "model_cost.json", timings)

# %%
figure = plot_scaling(cost, timings)
save_figure(figure, params.figures / "model_cost" / "figure1_scaling")
figure

# %% [markdown]
# *Figure 1 b-d. Operations, median latency and peak memory of a forward pass against the number of tokens; dashed: with
# the weights. Distant voxels are sparse and merge late, so the largest clouds, which contain them, cost more operations
# per token.*

# %%
display(Markdown(timing_sentence(timings)))
