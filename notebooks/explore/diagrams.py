# %% [markdown]
# # Persistence diagrams by hand
# Choose a cloud, move epsilon, click a class: the edge that makes it and the simplex that ends it light up. Those are
# the critical edges along which the topological loss sends its gradient (Theorem 1).

# %% tags=["parameters"]
params_file = "results/default/params.yaml"  # resolved parameters of the profile
points = 200

# %%
import numpy as np

from topokd import params as P
from topokd.experiments.features import stage_features
from topokd.viz.explorer import Cloud, DiagramExplorer

params = P.load(params_file)
rng = np.random.default_rng(0)

# %% [markdown]
# ## Shapes
# A noisy circle has one long-lived loop, two circles have two, a Gaussian blob has none that last.

# %%
angle = rng.uniform(0, 2 * np.pi, points)
circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
pair = np.concatenate([circle[::2], 0.5 * circle[1::2] + [2.0, 0.0]])
clouds = {
    "noisy circle": Cloud(circle + rng.normal(0, 0.08, circle.shape)),
    "two circles": Cloud(pair + rng.normal(0, 0.05, pair.shape)),
    "blob": Cloud(rng.normal(size=(points, 2))),
}

# %% [markdown]
# ## Features of the networks
# The same voxels as the teacher and the student see them, sampled as the loss does (Alg. 5). They are drawn at their
# place in the street; their topology is that of the normalised features. Needs the trained networks of the pipeline
# (`make repro`); without them only the shapes are offered.

# %%
for run in ("teacher", "plain", "full"):
    sampled = stage_features(params, f"{run}-seed{params.seeds[0]}", points)
    if sampled is not None:
        clouds[f"{run}: stage {params.terms['topo']['stage']} features"] = Cloud(*sampled)

# %%
explorer = DiagramExplorer(clouds)
explorer.widget
