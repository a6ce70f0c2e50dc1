# %% [markdown]
# # Cost of the topological layer
#
# Table 8 (naive baseline against ours), Figure 5 (sampling) and Figure 6 (why $H_2$ is left out). Times are medians on
# this machine's CPU after a warm-up; they differ from run to run and lie apart, in `timings/topology_cost.json`.

# %% tags=["parameters"]
params_file = "results/default/params.yaml"
seed = 0

# %%
import pandas as pd
import torch
from IPython.display import Markdown, display

from topokd import params as P
from topokd.experiments.topology_cost import measure_topology_cost
from topokd.io import write_json
from topokd.viz import topology as view
from topokd.viz.style import save_figure

params = P.load(params_file)
torch.set_num_threads(params.train.threads)
cost = measure_topology_cost(params.benchmark, seed)
write_json(params.results / "timings" / "topology_cost.json", cost)

# %% [markdown]
# ## Table 8
# Features to diagrams (degrees 0 and 1) to loss, then back to the features. The naive baseline reduces the whole
# boundary matrix in plain torch. `giotto-ph` is the same layer on that engine.

# %%
table = pd.DataFrame(
    {
        row["points"]: {
            f"{name} {kind}": row[name] and row[name][field] and factor * row[name][field]
            for name in ("naive", "ours", "giotto_ph")
            for kind, field, factor in (
                ("forward (s)", "forward_s", 1),
                ("backward (s)", "backward_s", 1),
                ("memory (MB)", "peak_bytes", 1e-6),
            )
        }
        | {"speed-up over naive": row["speedup"]}
        for row in cost["table8"]
    }
).T
table.astype(float).round(4)

# %%
largest, compared = cost["table8"][-1], [row for row in cost["table8"] if row["naive"]]
total = {name: largest[name]["forward_s"] + largest[name]["backward_s"] for name in ("ours", "giotto_ph")}
naive = [f"At N = {r['points']} the naive baseline takes {r['speedup']:.0f} times as long. " for r in compared[-1:]]
display(
    Markdown(
        "".join(naive) + f"At N = {largest['points']} the layer takes {total['ours']:.3f} s, and "
        f"{total['giotto_ph']:.3f} s on giotto-ph ({total['giotto_ph'] / total['ours']:.1f} times as long)."
    )
)

# %% [markdown]
# ## Figure 5
# Farthest point sampling of 128 points grows linearly with the cloud; random sampling hardly at all.

# %%
figure = view.sampling_figure(cost["sampling"])
save_figure(figure, params.figures / "figure5")
figure

# %% [markdown]
# ## Figure 6
# giotto-ph up to degree 1 and up to degree 2 on uniform points in space.

# %%
figure = view.homology_cost_figure(cost["homology"])
save_figure(figure, params.figures / "figure6")
figure

# %%
last = cost["homology"][-1]
display(Markdown(f"At N = {last['points']}, $H_2$ costs {last['h2_s'] / last['h1_s']:.0f} times $H_1$."))
