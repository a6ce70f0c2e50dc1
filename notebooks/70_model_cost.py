# %% [markdown]
# # Cost of teacher and student
#
# The measured side of Table 3 (size and speed), Table 5 (architecture, operations, latency), Table 6 (time and memory
# by operation) and Figure 1 b-d (growth with the number of tokens). Weights are random: cost does not depend on them.
# Two files are written: what is exact (`model_cost.json`) and what was timed on this machine
# (`timings/model_cost.json`, different from run to run).

# %% tags=["parameters"]
params_file = "results/default/params.yaml"

# %%
import pandas as pd
import torch
from IPython.display import Markdown, display

from topokd import params as P
from topokd import project
from topokd.data import voxelize
from topokd.experiments.model_cost import PAPER_VOXEL_SIZE, count_cost, measure_cost, side_by_side
from topokd.io import write_json
from topokd.models import build_model
from topokd.scans import open_dataset
from topokd.viz.cost import plot_scaling
from topokd.viz.style import save_figure

params = P.load(params_file)
bench = params.benchmark
torch.set_num_threads(params.train.threads)
device = "cuda" if torch.cuda.is_available() else "cpu"

# %% [markdown]
# The networks, and a validation scan in voxels of the paper's 0.05 m (C.3). A cloud of n tokens is the n voxels nearest
# to the sensor; where a scan has fewer, of a row of scans side by side.

# %%
dataset = open_dataset(params.data, params.data_root, "val")
scan = dataset[0]
voxels = voxelize(scan, PAPER_VOXEL_SIZE)
large = side_by_side((voxelize(dataset[i], PAPER_VOXEL_SIZE) for i in range(len(dataset))), max(bench.model_tokens))
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
modules = pd.DataFrame({role: pd.Series(model["modules"]) for role, model in cost["models"].items()})
modules.insert(0, "ratio", (modules["teacher"] / modules["student"]).round(2))
display(modules)

# %% [markdown]
# ## Parameters and operations
# On the whole scan. Table 5's absolute numbers come without a token count, so ratios are what can be compared (NOTES
# row 16). The paper's encoder and decoder leave out the two products inside attention, whose number grows with the
# channels and not with their square; what it calls attention compute has the ratio of the linear layers around
# attention (q, k, v and output). The decoder's ratio depends on the scan: the teacher's coarsest decoder stage costs
# eight times the student's, the finer ones twice, so it grows with the share of voxels that are left on the coarse
# grids. `benchmarks/models.md` counts it on scans of several sensors.

# %%
table = pd.read_csv(project.project_path("topokd/paper/reported/table5.csv"), index_col=0)["Comparison"]
reported = table.str.extract(r"([0-9.]+)×")[0].astype(float)
REPORTED = {
    ("encoder", "without_attention"): reported["Encoder GFLOPs"],
    ("decoder", "without_attention"): reported["Decoder GFLOPs"],
    ("encoder", "projections"): reported["Attention Compute (Encoder)"],
}


def gflops(counts: dict[str, int], kind: str) -> float:
    without = counts["total"] - counts["attention"]
    return (without if kind == "without_attention" else counts[kind]) / 1e9


rows = {
    f"{part}, {kind.replace('_', ' ')}": {
        "ratio": ratio,
        "reported ratio": REPORTED.get((part, kind)),
        "teacher (GFLOPs)": gflops(cost["models"]["teacher"]["flops"][part], kind),
        "student (GFLOPs)": gflops(cost["models"]["student"]["flops"][part], kind),
    }
    for part in ("encoder", "decoder")
    for kind, ratio in cost["ratios"]["flops"][part].items()
}
display(pd.DataFrame(rows).T.astype(float).round(2))

# %%
ratios = cost["ratios"]
flops = ratios["flops"]
display(
    Markdown(
        f"The teacher has {cost['models']['teacher']['parameters']['total']:,} parameters, the student "
        f"{cost['models']['student']['parameters']['total']:,}: {ratios['parameters']:.1f} times fewer. On "
        f"{cost['tokens']['voxels']:,} voxels its encoder needs {flops['encoder']['total']:.1f} times fewer "
        f"operations ({flops['encoder']['without_attention']:.1f} times if the products inside attention are left "
        f"out), its decoder {flops['decoder']['total']:.1f} ({flops['decoder']['without_attention']:.1f}) times. Both "
        "networks use patches of the same size, so attention shrinks only by channels and blocks."
    )
)

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
save_figure(figure, params.figures / "figure1_scaling")
figure

# %% [markdown]
# *Figure 1 b-d. Operations, median latency and peak memory of a forward pass against the number of tokens; dashed: with
# the weights. Voxels far from the sensor lie apart and merge late, so the largest clouds, which hold them, cost more
# operations per token.*

# %%
faster, frame = timings["ratios"], timings["frame"]
display(
    Markdown(
        f"On {timings['device']} with {timings['threads']} thread(s) the student's forward pass is "
        f"{faster['latency']:.1f} times faster than the teacher's ({timings['models']['student']['voxels']:,} voxels) "
        f"and needs {faster['peak_memory_with_weights']:.1f} times less memory with the weights, "
        f"{faster['peak_memory']:.1f} times less without: both decoders end equally wide. A whole scan of "
        f"{frame['points']:,} points, from points to a class for each, takes {frame['seconds']['student']:.2f} s "
        f"instead of {frame['seconds']['teacher']:.2f} s in voxels of {frame['voxel_size']} m."
    )
)
