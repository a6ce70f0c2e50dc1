# %% [markdown]
# # Topology: diagrams and correctness
#
# Vietoris-Rips persistence of a known shape (Figure 4), damping of noise by logarithmic weights (Figure 7, Lemma 1),
# agreement of the engines with giotto-ph, an implementation of Ripser (Figure 8), and Proposition 1, measured.

# %% tags=["parameters"]
params_file = "results/default/params.yaml"  # resolved parameters of the profile
save = False  # True: write into results/ and figures/, as the pipeline does; False: into workspace/by-hand/
seed = 0

# %%
import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from topokd import params as P
from topokd.experiments.log_weights import loop_and_noise, measure_dampening, measure_lemma1
from topokd.experiments.proposition1 import measure_proposition1, worst_share_of_bound
from topokd.experiments.shapes import torus
from topokd.experiments.topology_agreement import measure_agreement
from topokd.io import write_json
from topokd.topology import farthest_point_sampling, vietoris_rips
from topokd.topology.engines import choose_engine
from topokd.viz import topology as view
from topokd.viz.style import save_figure

params = P.load(params_file, save=save)
figures = params.figures / "topology"

# %% [markdown]
# ## Figure 4: a filtration and its barcode
# 120 farthest points of a sampled torus. A torus is one component ($H_0$), has two independent loops ($H_1$) and
# encloses one void ($H_2$): these bars are the longest.

# %%
dense = torus(3000, np.random.default_rng(seed))
points = dense[farthest_point_sampling(dense, 120).numpy()]
shape = vietoris_rips(points, max_dim=2)
figure = view.filtration_figure(points, shape, scales=(0.2, 0.38, 0.55, 0.9))
save_figure(figure, figures / "figure4")
figure

# %%
persistence = [(d[:, 1] - d[:, 0]).sort(descending=True).values for d in shape.diagrams]
longest = {f"H{dim}": values[:3].tolist() for dim, values in enumerate(persistence)}
display(
    Markdown(
        f"The two longest loops live for {longest['H1'][0]:.2f} and {longest['H1'][1]:.2f}, the third only for "
        f"{longest['H1'][2]:.2f}; the longest void lives for {longest['H2'][0]:.2f}, the second for "
        f"{longest['H2'][1]:.2f}."
    )
)

# %% [markdown]
# ## Figure 7: noise is dampened
# The teacher's diagram is the $H_1$ diagram of a noisy circle; the student's is the same with each pair shifted by the
# same small step. (a) Without weights every pair would send the same gradient; under Eq. 2 its share follows
# $\log(1 + \text{persistence})$. (b) One noise pair, 0.3 away from its nearest match: its contribution vanishes
# linearly with its persistence, within the bound of Lemma 1; with the fallback to the diagonal it vanishes faster.

# %%
gradients, lemma = measure_dampening(seed=seed), measure_lemma1()
figure = view.dampening_figure(gradients, lemma)
save_figure(figure, figures / "figure7")
figure

# %%
loop, noise = loop_and_noise(gradients)
display(
    Markdown(
        f"The loop receives {loop:.1f} times the mean gradient of all pairs, the noise pairs on average {noise:.2f} "
        f"times: {loop / noise:.0f} to 1, where equal weights would give 1 to 1."
    )
)

# %% [markdown]
# ## Figure 8: agreement of the engines
# Three independent computations on the same clouds: giotto-ph, the default engine of the loss, and (up to 60 points)
# the textbook reduction in plain torch. The bottleneck distance $d_B$ is exact; 0 means equal diagrams.

# %%
rows, diagrams = measure_agreement(seed=seed)
figure = view.agreement_figure(diagrams, rows, choose_engine("auto", 1))
save_figure(figure, figures / "figure8")
figure

# %%
pd.DataFrame(rows)

# %% [markdown]
# ## Proposition 1
# Diagrams of a farthest-point sample against those of the whole cloud (400 points): the bottleneck distance must stay
# within twice the covering radius $\epsilon$.

# %%
bounds = measure_proposition1(seed=seed)
figure = view.proposition_figure(bounds)
save_figure(figure, figures / "proposition1")
figure

# %%
worst = worst_share_of_bound(bounds)
disagreement = max(row["bottleneck"] for row in rows)
display(
    Markdown(
        f"Largest bottleneck distance between engines: {disagreement:.2g}. Over {len(bounds)} samples the distance to "
        f"the whole cloud's diagram was at most {worst:.2f} of the bound: Proposition 1 "
        f"{'holds in every case' if worst <= 1 else 'is violated'}."
    )
)

# %%
write_json(
    params.results / "topology.json",
    {
        "figure4": {"points": len(points), "longest": longest},
        "figure7": {"gradients": gradients, "lemma": lemma, "loop_to_noise": loop / noise},
        "figure8": {"rows": rows, "worst": disagreement, "engine": choose_engine("auto", 1)},
        "proposition1": {"rows": bounds, "worst_share_of_bound": worst},
    },
)
